"""A redis-server that a test may kill and start again at the same address, as an operator's own is."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError, RedisError
from redis.retry import Retry
from refstar_service.redis.server import find_server

READY_WITHIN = 20.0  # seconds


class RedisProcess:
    """Append-only as docs/operations.md asks for, so what it acknowledged survives `kill`. Not started yet."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.options = options
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self, *, wait: bool = True) -> None:
        """Returns when it answers and has read its file back; without ``wait`` at once."""
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [
            find_server().path,
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--dir",
            str(self.folder),
        ]
        command += [
            "--appendonly",
            "yes",
            "--appendfsync",
            "everysec",
            "--save",
            "",
            "--logfile",
            "redis.log",
        ]
        self._process = subprocess.Popen([*command, *self.options], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + READY_WITHIN
        with Redis.from_url(self.url, retry=Retry(NoBackoff(), 0)) as client:
            while wait:
                try:
                    client.ping()
                    return
                except BusyLoadingError:
                    deadline = time.monotonic() + READY_WITHIN  # it reads its file: 100,000 jobs take a while
                    time.sleep(0.1)
                except RedisError:
                    assert self._process.poll() is None, (self.folder / "redis.log").read_text()
                    assert time.monotonic() < deadline, "redis-server does not answer"
                    time.sleep(0.01)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(number)
            self._process.wait(READY_WITHIN)
            self._process = None

    def __enter__(self) -> RedisProcess:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
