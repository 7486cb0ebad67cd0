"""A model is updated by a canary, and rolled back, while clients use two gateways and two workers: every accepted job
ends, once, and its bytes are those of the version in its record.

With the environment variable REFSTAR_OLDER_CHECKOUT, one gateway and one worker are of that older release at first."""

import asyncio
import hashlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from processes import PICTURE, PORT, Client, Process, free_port, load
from redis.asyncio import Redis
from redis_process import RedisProcess
from refstar_service.blobs import DirectoryBlobs
from refstar_service.faces.select import FaceMode
from refstar_service.jobs import JobQueue, RestoreRequest, StoredFile
from refstar_service.restoration.knobs import Knobs
from refstar_service.settings import PREFIX, Settings
from small_model import write_small_model

OLDER = Path(os.environ["REFSTAR_OLDER_CHECKOUT"]) if "REFSTAR_OLDER_CHECKOUT" in os.environ else None
NEW_MEMBERS = ("version", "shadow", "of")


@dataclass
class Fleet:
    gateways: list[Process]
    workers: list[Process]
    redis_url: str
    data: Path
    models: tuple[Path, Path]

    def both_models(self) -> str:
        return os.pathsep.join(map(str, self.models))

    def replace_workers(self, models: str) -> None:
        """Beside the old ones, as maxUnavailable: 0 has it."""
        new = [worker.successor({f"{PREFIX}MODELS_DIR": models}) for worker in self.workers]
        old, self.workers = self.workers, new
        for worker in new:
            worker.wait()
        for worker in old:
            worker.end()

    def replace_gateways(self, models: str, **settings: str) -> None:
        """One after the other."""
        changes = {f"{PREFIX}MODELS_DIR": models} | {
            f"{PREFIX}{name}": value for name, value in settings.items()
        }
        for place, gateway in enumerate(self.gateways):
            gateway.end()
            self.gateways[place] = gateway.successor(changes)
            self.gateways[place].wait()


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """All with the first version only."""
    first, second = tmp_path / "first", tmp_path / "second"
    write_small_model(first, "1")
    write_small_model(second, "2", seed=8)
    (first / "detector").symlink_to(Settings().models_dir / "detector")
    with RedisProcess(tmp_path / "redis") as redis:
        shared = {
            f"{PREFIX}REDIS_URL": redis.url,
            f"{PREFIX}BLOBS": "directory",
            f"{PREFIX}DATA_DIR": str(tmp_path / "data"),
            f"{PREFIX}MODELS_DIR": str(first),
            f"{PREFIX}DEFAULT_MODELS": "refstar@1",
            f"{PREFIX}SHADOW": "",
        }

        def start(kind: str, number: int) -> Process:
            port = {f"{PREFIX}{PORT[kind]}": str(free_port())}
            code = OLDER if number == 1 else None
            return Process(kind, shared | port, tmp_path / f"{kind}{number}.log", code)

        fleet = Fleet(
            [start("gateway", number) for number in range(2)],
            [start("worker", number) for number in range(2)],
            redis.url,
            tmp_path / "data",
            (first, second),
        )
        try:
            for process in (*fleet.gateways, *fleet.workers):
                process.wait()
            yield fleet
        finally:
            for process in (*fleet.gateways, *fleet.workers):
                process.kill()


def restore(client: httpx.Client, model: str) -> bytes:
    """What one version makes of the picture that all clients send."""
    fields = {"faces": "aligned", "keep": "false", "model": model}
    files = {"image": ("x.png", PICTURE, "image/png")}
    asked = client.post("/v1/restorations", files=files, data=fields, headers={"Prefer": "wait=20"})
    assert asked.status_code == 201, asked.text
    return client.get(asked.json()["links"]["image"]).content


def wait_for_more(clients: list[Client], count: int) -> None:
    before = sum(len(client.accepted) for client in clients)
    deadline = time.monotonic() + 60
    while sum(len(client.accepted) for client in clients) < before + count:
        assert time.monotonic() < deadline
        time.sleep(0.02)


async def submit_as_older_gateways_do(fleet: Fleet, names: list[str]) -> None:
    """Records without the members that they do not know."""

    class OlderRequest(RestoreRequest):
        def to_json(self) -> str:
            document = json.loads(super().to_json())
            for name in NEW_MEMBERS:
                del document["restore"][name]
            return json.dumps(document)

        def outline(self) -> "OlderRequest":
            return self

    blobs = DirectoryBlobs(fleet.data / "blobs")
    digest = hashlib.sha256(PICTURE).hexdigest()
    async with Redis.from_url(fleet.redis_url) as redis:
        queue = JobQueue(redis)
        for name in names:
            file = StoredFile(f"{name}/image", digest, "image/png", len(PICTURE), "x.png", 64 * 64)
            await blobs.put(file.key, PICTURE, 600)
            knobs = Knobs(FaceMode.ALIGNED, keep=False)
            await queue.submit(name, OlderRequest(file, (), "refstar", knobs))
        await queue.aclose()


def test_a_model_is_updated_and_rolled_back_under_load_and_nothing_is_lost(fleet: Fleet) -> None:
    urls = [gateway.url for gateway in fleet.gateways]
    old_records = [f"older{number}" for number in range(6)]
    with load(urls, keep="false") as clients:
        wait_for_more(clients, 10)
        fleet.replace_workers(fleet.both_models())
        asyncio.run(submit_as_older_gateways_do(fleet, old_records))
        fleet.replace_gateways(fleet.both_models(), CANARY="refstar@2:50")
        wait_for_more(clients, 30)
        with httpx.Client(base_url=urls[0], timeout=30) as client:
            expected = {version: restore(client, f"refstar@{version}") for version in ("1", "2")}
        fleet.replace_gateways(fleet.both_models(), CANARY="")
        after_rollback = [len(client.accepted) for client in clients]
        wait_for_more(clients, 12)
    assert expected["1"] != expected["2"]
    assert [problem for client in clients for problem in client.refused] == []
    accepted = [job for client in clients for job in client.accepted]
    assert len(set(accepted)) == len(accepted)
    versions: dict[str, str] = {}
    with httpx.Client(base_url=urls[0], timeout=30) as client:
        for job in accepted + old_records:
            ended = client.get(f"/v1/restorations/{job}", headers={"Prefer": "wait=20"}).json()
            assert (ended["status"], ended["attempts"], ended["model"]) == ("succeeded", 1, "refstar"), ended
            # A record of an older release names no version: there was one.
            versions[job] = ended["model_version"] or "1"
            assert client.get(ended["links"]["image"]).content == expected[versions[job]], ended
        # Only now that no job of the canary is left, workers may lose it.
        fleet.replace_workers(str(fleet.models[0]))
        assert restore(client, "refstar") == expected["1"]
    drawn = list(versions.values())
    assert 5 <= drawn.count("2") < drawn.count("1")
    later = [
        job
        for client, count in zip(clients, after_rollback, strict=True)
        for job in client.accepted[count + 1 :]
    ]
    assert later
    assert {versions[job] for job in later} == {"1"}
    assert {versions[job] for job in old_records} == {"1"}
