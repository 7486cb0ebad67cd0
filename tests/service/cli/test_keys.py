"""`refstar keys`, `refstar gateway` and `refstar courier` as an operator meets them."""

import asyncio
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from refstar_service.access.file import FileKeys
from refstar_service.access.key import token_id, webhook_secret_bytes
from refstar_service.app.cli import run
from refstar_service.app.processes import run_gateway
from refstar_service.settings import Settings


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FileKeys:
    monkeypatch.setenv("REFSTAR_ACCESS", "file")
    monkeypatch.setenv("REFSTAR_KEYS_FILE", str(tmp_path / "keys.json"))
    return FileKeys(tmp_path / "keys.json")


def opened(keys: FileKeys, token: str) -> str | None:
    key = asyncio.run(keys.of_token(token_id(token) or ""))
    return key.name if key and key.opens(token) else None


def test_a_key_is_made_shown_once_listed_and_revoked(
    keys: FileKeys, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["keys", "add", "ada", "--requests-per-minute", "9", "--unfinished", "0"]) == 0
    shown = capsys.readouterr().out
    token, secret = re.findall(r"^(?:token|webhook secret): (\S+)$", shown, re.MULTILINE)
    assert opened(keys, token) == "ada"
    assert webhook_secret_bytes(secret)

    assert run(["keys", "add", "ada"]) == 0
    shown = capsys.readouterr().out
    (second,) = re.findall(r"^token: (\S+)$", shown, re.MULTILINE)
    assert "webhook secret" not in shown
    assert opened(keys, second) == opened(keys, token) == "ada"

    assert run(["keys", "list"]) == 0
    listed = capsys.readouterr().out
    assert "ada  requests per minute 9, unfinished 0" in listed
    assert str(token_id(token)) in listed
    assert token not in listed
    assert secret not in listed

    assert run(["keys", "revoke", "ada", "--token", str(token_id(token))]) == 0
    assert (opened(keys, token), opened(keys, second)) == (None, "ada")
    assert run(["keys", "revoke", "ada"]) == 0
    assert opened(keys, second) is None
    capsys.readouterr()
    assert run(["keys", "list"]) == 0
    assert "no keys" in capsys.readouterr().out


def test_limits_are_changed_one_by_one(keys: FileKeys, capsys: pytest.CaptureFixture[str]) -> None:
    run(["keys", "add", "ada", "--requests-per-minute", "9"])
    assert run(["keys", "limit", "ada", "--restorations-per-day", "5"]) == 0
    assert "requests per minute 9, restorations per day 5" in capsys.readouterr().out


def test_a_key_may_prioritize_once_it_is_said(keys: FileKeys, capsys: pytest.CaptureFixture[str]) -> None:
    def may(name: str) -> bool:
        key = asyncio.run(keys.get(name))
        assert key is not None
        return key.may_prioritize

    run(["keys", "add", "ada"])
    assert not may("ada")
    assert run(["keys", "limit", "ada", "--may-prioritize"]) == 0
    assert "ada  default limits, may use priority=high" in capsys.readouterr().out
    run(["keys", "add", "ada"])
    assert may("ada"), "another token changes nothing else"
    assert run(["keys", "limit", "ada", "--no-may-prioritize"]) == 0
    assert not may("ada")
    run(["keys", "add", "bob", "--may-prioritize"])
    assert may("bob")


def test_a_webhook_secret_is_changed_without_a_gap(
    keys: FileKeys, capsys: pytest.CaptureFixture[str]
) -> None:
    run(["keys", "add", "ada"])
    old = asyncio.run(keys.get("ada"))
    assert run(["keys", "secret", "ada"]) == 0
    both = asyncio.run(keys.get("ada"))
    assert old is not None
    assert both is not None
    assert both.webhook_secrets[1:] == old.webhook_secrets
    assert both.webhook_secrets[0] in capsys.readouterr().out
    assert run(["keys", "secret", "ada", "--drop-old"]) == 0
    new = asyncio.run(keys.get("ada"))
    assert new is not None
    assert new.webhook_secrets == both.webhook_secrets[:1]


def test_a_secret_for_open_mode_needs_no_keys(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["keys", "secret"]) == 0
    assert webhook_secret_bytes(capsys.readouterr().out.strip())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["revoke", "bob"], "no such key: 'bob'"),
        (["revoke", "ada", "--token", "0" * 16], "has no token"),
        (["limit", "bob"], "no such key: 'bob'"),
        (["secret", "bob"], "no such key: 'bob'"),
        (["add", "Not A Name"], "no name of a key"),
    ],
)
def test_what_cannot_be_done_is_said(
    keys: FileKeys, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    run(["keys", "add", "ada"])
    before = keys.path.read_text()
    assert run(["keys", *arguments]) == 1
    assert said in capsys.readouterr().err
    assert json.loads(keys.path.read_text()) == json.loads(before)


def test_open_mode_has_no_keys(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["keys", "list"]) == 1
    assert "REFSTAR_ACCESS" in capsys.readouterr().err


def test_keys_in_redis_need_its_address(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REFSTAR_ACCESS", "redis")
    assert run(["keys", "list"]) == 1
    assert "REFSTAR_REDIS_URL" in capsys.readouterr().err


def test_keys_in_redis(
    redis_server: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REFSTAR_ACCESS", "redis")
    monkeypatch.setenv("REFSTAR_REDIS_URL", redis_server)
    assert run(["keys", "add", "cli"]) == 0
    assert run(["keys", "list"]) == 0
    assert "cli  default limits" in capsys.readouterr().out
    assert run(["keys", "revoke", "cli"]) == 0


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "faces.example"])
@pytest.mark.parametrize(
    ("said", "missing"),
    [
        ({}, "set also REFSTAR_ACCESS=open and REFSTAR_OPEN_TO_NETWORK=true"),
        ({"access": "open"}, "set also REFSTAR_OPEN_TO_NETWORK=true"),
        ({"open_to_network": True}, "set also REFSTAR_ACCESS=open"),
    ],
)
async def test_open_mode_beyond_this_machine_must_be_said_twice(
    host: str, said: dict[str, Any], missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REFSTAR_ACCESS", raising=False)
    with pytest.raises(RuntimeError, match=f"REFSTAR_ACCESS=redis .*{missing}"):
        await run_gateway(Settings(host=host, **said), "redis://127.0.0.1:1/0")


async def test_open_mode_beyond_this_machine_does_not_start_with_a_misspelled_setting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REFSTAR_ACESS", "redis")
    with pytest.raises(RuntimeError, match=r"REFSTAR_ACESS \(did you mean REFSTAR_ACCESS\?\)"):
        await run_gateway(
            Settings(host="0.0.0.0", access="open", open_to_network=True), "redis://127.0.0.1:1/0"
        )


@pytest.mark.parametrize("command", ["gateway", "courier", "worker"])
def test_every_process_asks_what_a_misspelled_setting_meant(command: str, tmp_path: Path) -> None:
    """Each as a process of its own; none has a Redis that answers, and the worker no model."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("REFSTAR_")}
    environment |= {"REFSTAR_ACESS": "redis", "REFSTAR_REDIS_URL": "redis://127.0.0.1:1/0"}
    environment |= {"REFSTAR_MODELS_DIR": str(tmp_path), "REFSTAR_PORT": "0", "REFSTAR_WEBHOOK_SECRET": "x"}
    process = subprocess.Popen(
        [sys.executable, "-m", "refstar_service.app.cli", command],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    with process, process.stderr as lines:
        for line in lines:
            if "REFSTAR_ACESS is not a setting; did you mean REFSTAR_ACCESS?" in line:
                break
        else:
            pytest.fail(f"{command} did not say so")
        process.kill()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (Settings(port=0), "everybody at this machine may use the service"),
        (
            Settings(port=0, host="0.0.0.0", access="open", open_to_network=True),
            "everybody who can reach 0.0.0.0 may use the service",
        ),
        (Settings(port=0, host="0.0.0.0", access="redis"), "API keys are stored in Redis"),
    ],
)
async def test_a_gateway_says_at_its_start_who_may_ask(
    redis_server: str, settings: Settings, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    stopping = asyncio.Event()
    async with asyncio.timeout(20):
        await run_gateway(settings, redis_server, started=lambda _: stopping.set(), stopping=stopping)
    assert said in caplog.text


def test_a_courier_without_anything_to_sign_with_says_so(
    redis_server: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REFSTAR_REDIS_URL", redis_server)
    assert run(["courier"]) == 1
    assert "REFSTAR_WEBHOOK_SECRET" in capsys.readouterr().err
    monkeypatch.setenv("REFSTAR_WEBHOOK_SECRET", "not a secret")
    assert run(["courier"]) == 1
    assert "not a secret" not in capsys.readouterr().err
