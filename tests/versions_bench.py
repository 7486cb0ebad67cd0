"""Workers with versions of one model on a real Redis, and small restorers in place of networks: each result tells which
version made it."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import numpy as np
from inverting import Inverting
from known_faces import KnownFaces
from pictures import file_of, pixels_of
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis
from refstar_service.blobs import RedisBlobs
from refstar_service.engine.restorer import FaceTask, RestoredFace
from refstar_service.faces.select import FaceMode
from refstar_service.images import ImageLimits
from refstar_service.jobs import Job, JobQueue, RestoreRequest, StoredFile, WorkerInfo
from refstar_service.metrics.worker import WorkerMetrics
from refstar_service.restoration.knobs import Knobs
from refstar_service.restoration.references import ReferenceMemory
from refstar_service.restoration.steps import Model, Viewer
from refstar_service.worker.files import JobFiles
from refstar_service.worker.pipeline import Worker

SIDE = 32
OLD, NEW = "refstar@1", "refstar@2"


class Halving(Inverting):
    """The second version: halves where the first one inverts."""

    encoder = "halving-2"

    def restore(self, tasks: Sequence[FaceTask]) -> list[RestoredFace]:
        faces = super().restore(tasks)
        return [
            RestoredFace(task.low_quality // 2, face.selection, face.finite)
            for task, face in zip(tasks, faces, strict=True)
        ]


def level_of(version: str, level: int) -> int:
    """What a version makes of a gray picture."""
    return 255 - level if version == "1" else level // 2


def gray(level: int) -> bytes:
    return file_of(np.full((SIDE, SIDE, 3), level, np.uint8))


class VersionsBench:
    """A queue with its blobs, and the worker `name` over them. ``models``: what it has loaded."""

    def __init__(
        self,
        redis: Redis,
        models: Mapping[str, Inverting],
        default: str = OLD,
        *,
        name: str = "w",
        grace: float = 60.0,
        stale_after: float = 5.0,
        most_shadows: int = 16,
    ) -> None:
        self.redis, self.blobs = redis, RedisBlobs(redis)
        self.queue = JobQueue(redis, stale_after=stale_after, worker=name)
        self.registry = CollectorRegistry()
        defaults = {"refstar": default} if default else {}
        self.worker = Worker(
            self.queue,
            JobFiles(self.blobs, 60),
            {full_name: Model(restorer, SIDE) for full_name, restorer in models.items()},
            WorkerInfo(name, (*models, *defaults), "cpu", time.time()),
            metrics=WorkerMetrics.on(self.registry, models=models),
            viewer=Viewer(KnownFaces(), ReferenceMemory(), ImageLimits()),
            max_batch=4,
            max_batch_pixels=100_000_000,
            picture_threads=1,
            model_grace=grace,
            defaults=defaults,
            most_shadows=most_shadows,
        )

    async def submit(
        self, name: str, level: int, model: str = "refstar", version: str = "", shadow: str = ""
    ) -> None:
        """As a gateway does."""
        data = gray(level)
        digest = hashlib.sha256(data).hexdigest()
        file = StoredFile(f"{name}/image", digest, "image/png", len(data), "a.png", SIDE * SIDE)
        await self.blobs.put(file.key, data, 60)
        knobs = Knobs(FaceMode.ALIGNED, keep=False)
        request = RestoreRequest(file, (), model, knobs, version=version, shadow=shadow)
        await self.queue.submit(name, request)

    async def ended(self, name: str) -> Job:
        job = await self.queue.wait(name, 20)
        assert job is not None
        assert job.status.terminal, job
        return job

    async def level(self, name: str) -> int:
        """Of the result, once there is one."""
        job = await self.ended(name)
        assert job.result is not None, job.failure
        data = await self.blobs.get(job.result.image.key)
        assert data is not None
        return int(pixels_of(data)[0, 0, 0])

    def figure(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(f"refstar_{name}", labels) or 0.0


@asynccontextmanager
async def working(*benches: VersionsBench) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        for bench in benches:
            await stack.enter_async_context(_running(bench))
        yield


@asynccontextmanager
async def _running(bench: VersionsBench) -> AsyncIterator[None]:
    stopping = asyncio.Event()
    task = asyncio.create_task(bench.worker.run(stopping))
    try:
        yield
    finally:
        stopping.set()
        await asyncio.wait_for(task, 20)
        await bench.queue.aclose()
