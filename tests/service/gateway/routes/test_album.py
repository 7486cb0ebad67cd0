"""An album larger than the store: what was fetched makes room for what is to come, and nothing else goes."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest
from fastapi import FastAPI
from inverting import Inverting
from known_faces import KnownFaces
from pictures import file_of, pixels_of
from redis.asyncio import Redis
from refstar_service.blobs import DirectoryBlobs
from refstar_service.engine.catalog import Catalog
from refstar_service.gateway.app import create_app
from refstar_service.images import ImageLimits
from refstar_service.jobs import JobQueue, WorkerInfo
from refstar_service.metrics.registry import new_registry
from refstar_service.metrics.worker import WorkerMetrics
from refstar_service.restoration.references import ReferenceMemory
from refstar_service.restoration.steps import Model, Viewer
from refstar_service.settings import Settings
from refstar_service.worker.files import JobFiles
from refstar_service.worker.pipeline import Worker

SIDE = 96  # pixels
PHOTOGRAPHS = 20
LEFT = 5  # every so many-th is not fetched
ROOM = 380_000  # bytes: results of 27 kB each, and what one more photograph may come to need


@pytest.fixture
def store(tmp_path: Path) -> DirectoryBlobs:
    return DirectoryBlobs(tmp_path / "blobs")


@pytest.fixture
def queue(new_queue: Callable[..., JobQueue], monkeypatch: pytest.MonkeyPatch) -> JobQueue:
    monkeypatch.setattr("refstar_service.jobs.client_side.FETCHED_STAYS", 0)
    return new_queue(byte_limit=ROOM, blobs_in_redis=False)


@pytest.fixture
def app(settings: Settings, queue: JobQueue, store: DirectoryBlobs, models: Catalog, redis: Redis) -> FastAPI:
    small = Catalog.of([replace(models.versions["refstar@1.0"], input_size=SIDE)])
    return create_app(settings, queue=queue, blobs=store, models=small, redis=redis)


@asynccontextmanager
async def working(queue: JobQueue, store: DirectoryBlobs) -> AsyncIterator[None]:
    stopping = asyncio.Event()
    worker = Worker(
        queue,
        JobFiles(store, 60),
        {"refstar@1.0": Model(Inverting(), SIDE)},
        WorkerInfo("w", ("refstar",), "cpu", 0.0),
        metrics=WorkerMetrics.on(new_registry()),
        viewer=Viewer(KnownFaces(), ReferenceMemory(), ImageLimits()),
        max_batch=4,
        max_batch_pixels=100_000_000,
        picture_threads=1,
        defaults={"refstar": "refstar@1.0"},
    )
    task = asyncio.create_task(worker.run(stopping))
    try:
        yield
    finally:
        stopping.set()
        await asyncio.wait_for(task, 20)


async def restore(client: httpx.AsyncClient, picture: bytes) -> str:
    """The address of its result."""
    answer = await client.post(
        "/v1/restorations",
        data={"faces": "aligned"},
        files={"image": ("photo.png", picture)},
        headers={"Prefer": "wait=20"},
    )
    assert (answer.status_code, answer.json()["status"]) == (201, "succeeded"), answer.text
    return f"{answer.headers['Location']}/image"


def measure_files(folder: Path) -> int:
    """Bytes of all files; the worker may delete one meanwhile, which then counts nothing."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            total += path.stat().st_size if path.is_file() else 0
    return total


async def test_an_album_that_is_larger_than_the_store_goes_through_and_loses_nothing(
    client: httpx.AsyncClient, queue: JobQueue, store: DirectoryBlobs, tmp_path: Path
) -> None:
    random = np.random.default_rng(0)
    fetched, left = [], []
    async with working(queue, store):
        for number in range(PHOTOGRAPHS):
            noise = random.integers(0, 256, (SIDE, SIDE, 3), np.uint8)
            result = await restore(client, file_of(noise))
            if number % LEFT:
                assert (await client.get(result)).status_code == 200
                fetched.append(result)
            else:
                left.append(result)
            assert measure_files(tmp_path / "blobs") < ROOM

    for result in left:
        assert pixels_of((await client.get(result)).content).shape == (SIDE, SIDE, 3)
    there = [(await client.get(result)).status_code for result in fetched]
    expired = there.count(410)
    assert there == [410] * expired + [200] * (len(there) - expired), "the oldest went first"
    assert 5 < expired < len(fetched)
