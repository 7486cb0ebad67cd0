"""What is deleted is gone, at once and for good, whatever a real worker was doing with it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import httpx
import numpy as np
import pytest
from inverting import Inverting
from known_faces import KnownFaces
from pictures import file_of
from redis.asyncio import Redis
from refstar_service.blobs import RedisBlobs
from refstar_service.engine.restorer import FaceTask
from refstar_service.images import ImageLimits
from refstar_service.jobs import JobQueue, WorkerInfo
from refstar_service.metrics.registry import new_registry
from refstar_service.metrics.worker import WorkerMetrics
from refstar_service.restoration.references import ReferenceMemory
from refstar_service.restoration.steps import Model, Viewer
from refstar_service.worker.files import JobFiles
from refstar_service.worker.pipeline import Worker

Post = Callable[..., Awaitable[httpx.Response]]
WAIT = {"Prefer": "wait=20"}


class Bench:
    """A worker whose model waits until it may go on."""

    def __init__(self, queue: JobQueue, blobs: RedisBlobs) -> None:
        self._loop, self._queue, self._blobs = asyncio.get_running_loop(), queue, blobs
        self.begun, self.go_on = asyncio.Event(), asyncio.Event()

    def _wait(self, tasks: Sequence[FaceTask]) -> None:
        self._loop.call_soon_threadsafe(self.begun.set)
        asyncio.run_coroutine_threadsafe(self.go_on.wait(), self._loop).result()

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        stopping = asyncio.Event()
        worker = Worker(
            self._queue,
            JobFiles(self._blobs, 60),
            {"refstar@1.0": Model(Inverting(self._wait), 32)},
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
            self.go_on.set()
            stopping.set()
            await asyncio.wait_for(task, 20)


@pytest.fixture
async def bench(new_queue: Callable[..., JobQueue], blobs: RedisBlobs) -> Bench:
    return Bench(new_queue(), blobs)


async def traces(redis: Redis, job_id: str) -> set[str]:
    """Keys that name the job or hold a picture."""
    return {key.decode() for key in await redis.keys("*") if job_id.encode() in key or b":blob:" in key}


async def mentions(redis: Redis, job_id: str) -> set[str]:
    """Keys whose value says the job's id."""
    return {
        key.decode() for key in await redis.keys("*") if job_id.encode() in (await redis.dump(key) or b"")
    }


@pytest.mark.parametrize("state", ["queued", "running", "succeeded", "failed", "canceled"])
async def test_a_deleted_restoration_leaves_no_trace_in_redis(
    client: httpx.AsyncClient, post: Post, redis: Redis, bench: Bench, state: str
) -> None:
    reference = file_of(np.full((40, 40, 3), 100, np.uint8))
    faces = "all" if state == "failed" else "aligned"  # in a gradient there is no face
    job = (await post(references=[("r.png", reference)], faces=faces)).json()
    path = job["links"]["self"]
    assert len([key for key in await traces(redis, job["id"]) if ":blob:" in key]) == 2
    if state == "canceled":
        await client.post(f"{path}/cancel")
    elif state != "queued":
        async with bench.working():
            if state == "running":
                await bench.begun.wait()
                await client.delete(path)
                assert await traces(redis, job["id"]) == set(), "at once, not when the worker is through"
            else:
                bench.go_on.set()
                assert (await client.get(path, headers=WAIT)).json()["status"] == state
    await client.delete(path)
    assert await traces(redis, job["id"]) == set()
    async with bench.working():  # whatever is still in the line is dropped by whoever comes to it
        async with asyncio.timeout(5):
            while await mentions(redis, job["id"]):  # noqa: ASYNC110  nothing tells of it
                await asyncio.sleep(0.05)
    assert await traces(redis, job["id"]) == set()
    assert (await client.get(path)).status_code == 404
