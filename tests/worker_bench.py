"""A worker's pipeline on a real Redis, with a small restorer in place of the network."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import numpy as np
import skimage.data
from inverting import Inverting
from known_faces import KnownFaces
from pictures import file_of
from redis.asyncio import Redis
from refstar_service.blobs import BlobStore, RedisBlobs
from refstar_service.faces.select import FaceMode
from refstar_service.images import ImageLimits
from refstar_service.jobs import Job, JobQueue, RemoteFile, RestoreRequest, StoredFile, WorkerInfo
from refstar_service.metrics.registry import new_registry
from refstar_service.metrics.worker import WorkerMetrics
from refstar_service.restoration.knobs import Knobs
from refstar_service.restoration.references import ReferenceMemory
from refstar_service.restoration.steps import Model, Viewer
from refstar_service.worker.files import JobFiles
from refstar_service.worker.pipeline import Worker
from refstar_service.worker.transfers import Transfers

SIZE = 32
PHOTOGRAPH = file_of(skimage.data.astronaut(), ".jpg")


class Bench:
    """A queue, blobs, and a worker over them."""

    def __init__(
        self,
        redis: Redis,
        restorer: Inverting,
        detector: KnownFaces | None = None,
        max_batch_pixels: int = 100_000_000,
        rounds_at_once: int = 1,
        faces_at_once: int | None = None,
        size: int = SIZE,
        model_grace: float = 60.0,
        blobs: BlobStore | None = None,
        transfers: Transfers | None = None,
        transfers_at_once: int = 16,
        result_ttl: float = 60.0,
    ) -> None:
        self.metrics = WorkerMetrics.on(new_registry())
        self.queue = JobQueue(redis, stale_after=5, result_ttl=result_ttl)
        self.blobs = blobs or RedisBlobs(redis)
        self.stopping = asyncio.Event()
        self.redis = redis
        self.worker = Worker(
            self.queue,
            JobFiles(self.blobs, result_ttl),
            {"refstar": Model(restorer, size)},
            WorkerInfo("w", ("refstar",), "cpu", time.time()),
            metrics=self.metrics,
            viewer=Viewer(detector or KnownFaces(), ReferenceMemory(), ImageLimits()),
            max_batch=8,
            max_batch_pixels=max_batch_pixels,
            picture_threads=2,
            rounds_at_once=rounds_at_once,
            faces_at_once=faces_at_once,
            model_grace=model_grace,
            transfers=transfers,
            transfers_at_once=transfers_at_once,
        )

    async def submit_urls(
        self,
        name: str,
        image_url: str,
        reference_urls: Sequence[str] = (),
        output_url: str = "",
        owner: str = "",
        **changes: object,
    ) -> None:
        """The same with pictures that are named by URL."""
        image, *references = (RemoteFile(url, "far.png") for url in (image_url, *reference_urls))
        knobs = Knobs(**{"faces": FaceMode.ALIGNED} | changes)
        request = RestoreRequest(image, tuple(references), "refstar", knobs, output_url=output_url)
        await self.queue.submit(name, request, owner=owner)

    async def submit(
        self,
        name: str,
        picture: bytes,
        references: Sequence[bytes] = (),
        model: str = "refstar",
        owner: str = "",
        output_url: str = "",
        **changes: object,
    ) -> None:
        files = []
        for number, data in enumerate([picture, *references]):
            file = StoredFile(
                f"{name}/{number}",
                hashlib.sha256(data).hexdigest(),
                "image/png",
                len(data),
                f"{number}.png",
                pixels=512 * 512 if data == PHOTOGRAPH else SIZE * SIZE,
            )
            await self.blobs.put(file.key, data, 60)
            files.append(file)
        knobs = Knobs(**{"faces": FaceMode.ALIGNED} | changes)
        request = RestoreRequest(files[0], tuple(files[1:]), model, knobs, output_url=output_url)
        await self.queue.submit(name, request, owner=owner)

    async def ended(self, name: str) -> Job:
        job = await self.queue.wait(name, 20)
        assert job is not None
        assert job.status.terminal
        return job

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.worker.run(self.stopping))
        try:
            yield
        finally:
            self.stopping.set()
            await asyncio.wait_for(task, 20)
            await self.queue.aclose()


def picture(level: int, size: int = SIZE) -> bytes:
    """A file of one gray."""
    return file_of(np.full((size, size, 3), level, np.uint8))
