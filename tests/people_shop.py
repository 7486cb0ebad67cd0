"""Stored people on a real Redis: what a gateway does, and as many workers as a test wants."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import cv2
import numpy as np
import skimage.data
from inverting import Inverting
from known_faces import KnownFaces, astronauts, face_at
from pictures import file_of
from redis.asyncio import Redis
from refstar_service.blobs import RedisBlobs
from refstar_service.engine.restorer import Restorer
from refstar_service.faces.select import FaceMode
from refstar_service.images import ImageLimits
from refstar_service.jobs import EnrollRequest, Job, JobQueue, RestoreRequest, StoredFile, WorkerInfo
from refstar_service.metrics.registry import new_registry
from refstar_service.metrics.worker import WorkerMetrics
from refstar_service.people import Amendment, PeopleStore, Person, blob_keys
from refstar_service.restoration.knobs import Knobs
from refstar_service.restoration.references import ReferenceMemory
from refstar_service.restoration.steps import Model, Viewer
from refstar_service.worker.files import JobFiles
from refstar_service.worker.pipeline import Worker
from refstar_service.worker.recall import Recall

SIZE = 64
FACE = skimage.data.astronaut()
SHARP, OTHER = file_of(FACE), file_of(np.ascontiguousarray(255 - FACE))
BLURRED = file_of(cv2.GaussianBlur(FACE, (0, 0), 10))
TWO, TWO_FACES = astronauts(2)
FACES = {(512, 512): [face_at()], (1024, 512): TWO_FACES}
EMPTY = file_of(np.full((300, 300, 3), 90, np.uint8))


class Shop:
    """One Redis, and as many workers as a test wants."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.queue = JobQueue(redis, stale_after=5, result_ttl=60)
        self.blobs, self.people = RedisBlobs(redis), PeopleStore(redis)

    async def store(self, key: str, data: bytes, name: str) -> StoredFile:
        await self.blobs.put(key, data, 60)
        return StoredFile(key, hashlib.sha256(data).hexdigest(), "image/png", len(data), name)

    async def enroll(self, name: str, references: Sequence[bytes]) -> None:
        await self.people.add(name, owner="", name="", request_id="r", limit=99, ttl=600)
        files = [
            await self.store(f"{name}/{number}", data, f"{number}.png")
            for number, data in enumerate(references)
        ]
        await self.queue.submit(name, EnrollRequest(tuple(files)))

    async def change(
        self, person: str, change: str, references: Sequence[bytes], remove: Sequence[int] = ()
    ) -> None:
        """Begins one, as a gateway does."""
        amended = await self.people.amend(
            person, lambda now: Amendment(change=change, numbered=now.numbered + len(references))
        )
        assert amended is not None
        files = [
            await self.store(f"{change}/{number}", data, f"more-{number}.png")
            for number, data in enumerate(references)
        ]
        first = amended[1].numbered - len(references) + 1
        request = EnrollRequest(tuple(files), person=person, first=first, remove=tuple(remove))
        await self.queue.submit(change, request)

    async def remove(self, person: str, *numbers: int) -> None:
        await self.people.amend(person, lambda now: Amendment(remove=frozenset(numbers)))
        record = await self.person(person)
        await self.blobs.delete(*blob_keys(person, record.encoders, numbers))

    async def restore(
        self,
        name: str,
        person: str | None,
        references: Sequence[bytes] = (),
        others: Sequence[str] = (),
    ) -> None:
        record = await self.people.get(person) if person else None
        more = [(await self.person(other)).stored for other in others]
        image = await self.store(f"{name}/0", SHARP, "photo.png")
        sent = [
            await self.store(f"{name}/{number}", data, f"{number - 1}.png")
            for number, data in enumerate(references, 1)
        ]
        stored = record.stored if record else None
        request = RestoreRequest(
            image,
            tuple(sent),
            "refstar",
            Knobs(FaceMode.LARGEST, format="png"),
            person=stored,
            others=tuple(more),
        )
        await self.queue.submit(name, request)

    async def result(self, name: str) -> bytes | None:
        job = await self.ended(name)
        assert job.result is not None
        return await self.blobs.get(job.result.image.key)

    async def ended(self, name: str) -> Job:
        job = await self.queue.wait(name, 20)
        assert job is not None
        assert job.status.terminal
        return job

    async def person(self, name: str) -> Person:
        found = await self.people.get(name)
        assert found is not None
        return found

    async def keys(self, pattern: str = "*") -> set[str]:
        return {key.decode() async for key in self.redis.scan_iter(pattern)}


class Hand:
    """One worker of the shop."""

    def __init__(
        self, shop: Shop, name: str, restorer: Restorer | None = None, max_references: int = 8
    ) -> None:
        self.restorer, self.detector = Inverting(remembering=True), KnownFaces(FACES)
        model = (
            Model(restorer, 512) if restorer else Model(self.restorer, SIZE, max_references=max_references)
        )
        self.recall = Recall(shop.people, shop.blobs)
        self._metrics = WorkerMetrics.on(new_registry())
        self.queue = JobQueue(shop.redis, stale_after=5, worker=name, result_ttl=60)
        self._worker = Worker(
            self.queue,
            JobFiles(shop.blobs, 60),
            {"refstar": model},
            WorkerInfo(name, ("refstar",), "cpu", time.time()),
            metrics=self._metrics,
            viewer=Viewer(self.detector, ReferenceMemory(), ImageLimits()),
            max_batch=4,
            max_batch_pixels=100_000_000,
            picture_threads=1,
            recall=self.recall,
        )

    @property
    def work(self) -> dict[str, int]:
        """What `refstar_reference_work_total` says: steps of work on references so far."""
        [metric] = self._metrics.reference_work.collect()
        return {one.labels["step"]: int(one.value) for one in metric.samples if one.name.endswith("_total")}

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        stopping = asyncio.Event()
        task = asyncio.create_task(self._worker.run(stopping))
        try:
            yield
        finally:
            stopping.set()
            await asyncio.wait_for(task, 20)
            await self.queue.aclose()


NewHand = Callable[[str], Hand]
