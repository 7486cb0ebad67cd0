"""Two gateways and three workers are replaced one by one while clients use them: every accepted job ends, once."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from pictures import degraded_face, file_of
from redis_process import RedisProcess
from refstar_service.settings import PREFIX

READY_WITHIN = 60.0  # seconds
ENDED_WITHIN = 30.0
CLIENTS = 3
PROBE = {"gateway": "/healthz", "worker": "/readyz"}
PORT = {"gateway": "PORT", "worker": "WORKER_METRICS_PORT"}
PICTURE = file_of(degraded_face())


class Process:
    """A gateway or a worker, ready; its port is its own."""

    def __init__(self, command: str, settings: dict[str, str], log: Path) -> None:
        self.command, self._settings, self._log = command, settings, log
        kept = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        port = settings[f"{PREFIX}{PORT[command]}"]
        self.url = f"http://127.0.0.1:{port}"
        with log.open("a") as file:
            words = [sys.executable, "-m", "refstar_service.app.cli", command]
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

    def successor(self) -> "Process":
        """A new one; a gateway at the same address, so its predecessor must have ended."""
        port = f"{PREFIX}{PORT[self.command]}"
        settings = self._settings if self.command == "gateway" else self._settings | {port: str(free_port())}
        return Process(self.command, settings, self._log)

    def end(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(ENDED_WITHIN) == 0, self._log.read_text()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


class Client(threading.Thread):
    """Submits until it is told to stop, at whichever gateway answers; ``accepted`` by id."""

    def __init__(self, gateways: list[str], number: int) -> None:
        super().__init__()
        self._gateways, self._number = gateways, number
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
                        data={"faces": "aligned"},
                        headers={"Idempotency-Key": key},
                    )
                except httpx.TransportError:
                    continue  # that gateway is away: the other one, with the same key
                if answer.status_code == 202:
                    self.accepted.append(answer.json()["id"])
                elif answer.status_code not in (409, 503):  # under way, or ending
                    self.refused.append(answer.text)
                time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def processes(tmp_path: Path, small_models: Path) -> Iterator[list[Process]]:
    """Two gateways, then three workers."""
    with RedisProcess(tmp_path / "redis") as redis:
        shared = {
            f"{PREFIX}REDIS_URL": redis.url,
            f"{PREFIX}BLOBS": "directory",
            f"{PREFIX}DATA_DIR": str(tmp_path / "data"),
            f"{PREFIX}MODELS_DIR": str(small_models),
        }
        kinds = ["gateway"] * 2 + ["worker"] * 3
        started = [
            Process(kind, shared | {f"{PREFIX}{PORT[kind]}": str(free_port())}, tmp_path / f"{number}.log")
            for number, kind in enumerate(kinds)
        ]
        try:
            for process in started:
                process.wait()
            yield started
        finally:
            for process in started:
                process.kill()


@contextmanager
def load(gateways: list[str]) -> Iterator[list[Client]]:
    clients = [Client(gateways, number) for number in range(CLIENTS)]
    for client in clients:
        client.start()
    try:
        yield clients
    finally:
        for client in clients:
            client.stopping.set()
        for client in clients:
            client.join()


def test_a_rolling_update_loses_nothing(processes: list[Process]) -> None:
    gateways = [process.url for process in processes[:2]]
    with load(gateways) as clients:
        workers = processes[2:]
        new_workers = [
            worker.successor() for worker in workers
        ]  # beside the old ones, as maxUnavailable: 0 has it
        processes += new_workers
        for place in range(2):
            processes[place].end()
            processes[place] = processes[place].successor()
            processes[place].wait()
        for worker, new in zip(workers, new_workers, strict=True):
            new.wait()
            before = len(clients[0].accepted)
            worker.end()
            while len(clients[0].accepted) < before + 2:
                time.sleep(0.02)
    accepted = [job for client in clients for job in client.accepted]
    assert len(set(accepted)) == len(accepted) > 20
    assert [problem for client in clients for problem in client.refused] == []
    with httpx.Client(base_url=gateways[0], timeout=30) as client:
        for job in accepted:
            ended = client.get(f"/v1/restorations/{job}", headers={"Prefer": "wait=20"}).json()
            assert (ended["status"], ended["attempts"]) == ("succeeded", 1), ended
            assert client.get(ended["links"]["image"]).status_code == 200
