"""Gateways and workers as processes of their own, clients that keep them busy while they are replaced, and whether a
process still runs."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
from pictures import degraded_face, file_of
from refstar_service.settings import PREFIX

READY_WITHIN = 60.0  # seconds
ENDED_WITHIN = 30.0
ORPHANS_END_WITHIN = 10.0
CLIENTS = 3
PAUSE = 0.2  # seconds that a client waits before it submits the next one
PROBE = {"gateway": "/healthz", "worker": "/readyz"}
PORT = {"gateway": "PORT", "worker": "WORKER_METRICS_PORT"}
PICTURE = file_of(np.ascontiguousarray(degraded_face()[::8, ::8]))  # of the side of the small model


class Process:
    """A gateway or a worker, ready; its port is its own."""

    def __init__(self, command: str, settings: dict[str, str], log: Path, code: Path | None = None) -> None:
        """``code``: a checkout of another release, if it is to run that one."""
        self.command, self._settings, self._log = command, settings, log
        kept = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        port = settings[f"{PREFIX}{PORT[command]}"]
        self.url = f"http://127.0.0.1:{port}"
        with log.open("a") as file:
            words = [sys.executable, "-m", "refstar_service.app.cli", command]
            if code is not None:
                kept["PYTHONPATH"] = str(code / "service")
            self._process = subprocess.Popen(words, env=kept | settings, stdout=file, stderr=file)

    def wait(self) -> None:
        deadline = time.monotonic() + READY_WITHIN
        while time.monotonic() < deadline:
            assert self._process.poll() is None, self._log.read_text()
            try:
                if httpx.get(self.url + PROBE[self.command]).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.05)
        raise AssertionError(self._log.read_text())

    def successor(self, changes: Mapping[str, str] | None = None) -> "Process":
        """A new one, of this release; a gateway at the same address, so its predecessor must have ended. ``changes`` to
        its settings."""
        port = f"{PREFIX}{PORT[self.command]}"
        settings = self._settings | (changes or {})
        if self.command != "gateway":
            settings |= {port: str(free_port())}
        return Process(self.command, settings, self._log)

    def end(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(ENDED_WITHIN) == 0, self._log.read_text()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


class Client(threading.Thread):
    """Submits until it is told to stop, at whichever gateway answers; ``accepted`` by id."""

    def __init__(self, gateways: list[str], number: int, fields: Mapping[str, str]) -> None:
        super().__init__()
        self._gateways, self._number, self._fields = gateways, number, fields
        self.accepted: list[str] = []
        self.refused: list[str] = []
        self.stopping = threading.Event()

    def run(self) -> None:
        with httpx.Client(timeout=30) as client:
            turn = self._number
            while not self.stopping.is_set():
                turn += 1
                key = f'"{self._number}-{len(self.accepted)}"'
                try:
                    answer = client.post(
                        self._gateways[turn % 2] + "/v1/restorations",
                        files={"image": ("x.png", PICTURE, "image/png")},
                        data={"faces": "aligned", **self._fields},
                        headers={"Idempotency-Key": key},
                    )
                except httpx.TransportError:
                    continue  # that gateway is away: the other one, with the same key
                if answer.status_code == 202:
                    self.accepted.append(answer.json()["id"])
                elif answer.status_code not in (409, 503):  # under way, or ending
                    self.refused.append(answer.text)
                time.sleep(PAUSE)


def is_running(process: int) -> bool:
    """A zombie does not: nobody waits for it where PID 1 does not reap."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until_gone(processes: Mapping[str, int]) -> None:
    """Signals take their time on a busy machine; fails after ``ORPHANS_END_WITHIN`` seconds."""
    deadline = time.monotonic() + ORPHANS_END_WITHIN
    while left := [name for name, process in processes.items() if is_running(process)]:
        assert time.monotonic() < deadline, f"still there: {left}"
        time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def load(gateways: list[str], **fields: str) -> Iterator[list[Client]]:
    """Clients that submit with these ``fields`` until the block ends."""
    clients = [Client(gateways, number, fields) for number in range(CLIENTS)]
    for client in clients:
        client.start()
    try:
        yield clients
    finally:
        for client in clients:
            client.stopping.set()
        for client in clients:
            client.join()
