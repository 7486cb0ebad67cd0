"""scripts/smoke.py, which runs the commands of README.md, against `refstar serve` as `make serve` starts it."""

import os
import socket
import subprocess
import sys
from pathlib import Path

from refstar_service.settings import PREFIX
from served import end, start

ROOT = Path(__file__).parents[2]


def smoke(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, ROOT / "scripts" / "smoke.py", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def add_key(settings: dict[str, str]) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    command = [sys.executable, "-m", "refstar_service.app.cli", "keys", "add", "smoke"]
    shown = subprocess.run(command, env=kept | settings, capture_output=True, text=True, check=True).stdout
    return shown.split()[1]  # token: ...


def test_what_the_readme_shows_works_with_an_api_key_and_is_refused_without(tmp_path: Path) -> None:
    access = {f"{PREFIX}ACCESS": "file"}
    key_file = tmp_path / "key"
    key_file.write_text(add_key(access | {f"{PREFIX}DATA_DIR": str(tmp_path)}))
    served = start(tmp_path, **access)
    url = str(served.client.base_url)
    try:
        with_key, without = smoke(url, "--key-file", key_file), smoke(url)
    finally:
        assert end(served) == 0
    assert with_key.returncode == 0, with_key.stdout + with_key.stderr
    assert with_key.stdout.splitlines()[-1] == "what was made is deleted"
    assert without.returncode == 1
    assert "GET /v1/models says 401" in without.stderr


def test_a_service_that_is_not_there_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        done = smoke(url)
    assert done.returncode == 1
    assert f"{url} does not answer" in done.stderr
