"""Two gateways and two workers are replaced one by one while clients use them: every accepted job ends, once."""

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from processes import PORT, Process, free_port, load
from redis_process import RedisProcess
from refstar_service.settings import PREFIX


@pytest.fixture
def processes(tmp_path: Path, small_models: Path) -> Iterator[list[Process]]:
    """Two gateways, then two workers."""
    with RedisProcess(tmp_path / "redis") as redis:
        shared = {
            f"{PREFIX}REDIS_URL": redis.url,
            f"{PREFIX}BLOBS": "directory",
            f"{PREFIX}DATA_DIR": str(tmp_path / "data"),
            f"{PREFIX}MODELS_DIR": str(small_models),
        }
        kinds = ["gateway"] * 2 + ["worker"] * 2
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
