"""Stored people: a way to store one, and a worker that looks at references."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import httpx
import pytest
from inverting import Inverting
from known_faces import KnownFaces, face_at
from people_requests import FACE, Enroll, Working
from redis.asyncio import Redis
from refstar_service.blobs import RedisBlobs
from refstar_service.images import ImageLimits
from refstar_service.jobs import JobQueue, WorkerInfo
from refstar_service.metrics.registry import new_registry
from refstar_service.metrics.worker import WorkerMetrics
from refstar_service.people import PeopleStore
from refstar_service.restoration.references import ReferenceMemory
from refstar_service.restoration.steps import Model, Viewer
from refstar_service.worker.files import JobFiles
from refstar_service.worker.pipeline import Worker
from refstar_service.worker.recall import Recall


@pytest.fixture
def working(redis: Redis, blobs: RedisBlobs, new_queue: Callable[..., JobQueue]) -> Working:
    """A worker as another process would be; gives its metrics."""

    @asynccontextmanager
    async def run() -> AsyncIterator[WorkerMetrics]:
        metrics, stopping = WorkerMetrics.on(new_registry()), asyncio.Event()
        worker = Worker(
            new_queue(),
            JobFiles(blobs, 60),
            {"refstar@1.0": Model(Inverting(remembering=True), 64)},
            WorkerInfo(f"w{time.monotonic_ns()}", ("refstar",), "cpu", 0.0),
            metrics=metrics,
            viewer=Viewer(KnownFaces({(512, 512): [face_at()]}), ReferenceMemory(), ImageLimits()),
            max_batch=4,
            max_batch_pixels=100_000_000,
            picture_threads=1,
            defaults={"refstar": "refstar@1.0"},
            recall=Recall(PeopleStore(redis), blobs),
        )
        task = asyncio.create_task(worker.run(stopping))
        try:
            yield metrics
        finally:
            stopping.set()
            await asyncio.wait_for(task, 20)

    return run


@pytest.fixture
def enroll(client: httpx.AsyncClient) -> Enroll:
    async def send(
        references: Sequence[bytes] = (FACE,), headers: dict[str, str] | None = None, **fields: str
    ) -> httpx.Response:
        files = [("references", (f"{number}.jpg", data)) for number, data in enumerate(references, 1)]
        return await client.post(
            "/v1/people", data=fields, files=files or [("references", ("", b""))], headers=headers
        )

    return send
