"""The worker's pipeline on a real Redis, with a small restorer in place of the network."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import numpy as np
import pytest
from pictures import file_of, pixels_of
from redis.asyncio import Redis
from refstar_service.blobs import RedisBlobs
from refstar_service.engine.feature_cache import Features
from refstar_service.engine.restorer import FaceTask, RestoredFace
from refstar_service.images import ImageLimits
from refstar_service.jobs import Job, JobQueue, JobRequest, JobStatus, StoredFile, WorkerInfo
from refstar_service.metrics import WorkerMetrics, new_registry
from refstar_service.worker import pipeline
from refstar_service.worker.files import JobFiles
from refstar_service.worker.pipeline import Model, Worker

SIZE = 32


class Inverting:
    """Restores by inverting, so that every result tells whose input it was. ``act`` may raise or wait."""

    def __init__(
        self, act: Callable[[Sequence[FaceTask]], None] = lambda tasks: None, finite: bool = True
    ) -> None:
        self.act, self.finite = act, finite
        self.batches: list[int] = []

    def cached(self, key: str) -> Features | None:
        return None

    def restore(self, tasks: Sequence[FaceTask]) -> list[RestoredFace]:
        self.act(tasks)
        self.batches.append(len(tasks))
        masks = [np.full((len(t.references), 4, 4), 51, np.uint8) for t in tasks]
        return [RestoredFace(255 - t.low_quality, m, self.finite) for t, m in zip(tasks, masks, strict=True)]


class Bench:
    """A queue, blobs, and a worker over them."""

    def __init__(self, redis: Redis, restorer: Inverting) -> None:
        self.queue = JobQueue(redis, stale_after=5)
        self.blobs = RedisBlobs(redis)
        self.stopping = asyncio.Event()
        self.redis = redis
        self.worker = Worker(
            self.queue,
            JobFiles(self.blobs, 60),
            {"refstar": Model(restorer, SIZE)},
            WorkerInfo("w", ("refstar",), "cpu", time.time()),
            metrics=WorkerMetrics.on(new_registry()),
            limits=ImageLimits(),
            max_batch=8,
            picture_threads=2,
        )

    async def submit(
        self, name: str, picture: bytes, references: Sequence[bytes] = (), **changes: object
    ) -> None:
        files = []
        for number, data in enumerate([picture, *references]):
            file = StoredFile(
                f"{name}/{number}", hashlib.sha256(data).hexdigest(), "image/png", len(data), f"{number}.png"
            )
            await self.blobs.put(file.key, data, 60)
            files.append(file)
        request = JobRequest(files[0], tuple(files[1:]), "refstar", "aligned", 0.5, 1.0, "same", 95)
        await self.queue.submit(name, JobRequest(**(vars(request) | changes)))

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
    return file_of(np.full((size, size, 3), level, np.uint8))


async def test_every_job_gets_its_own_result_and_inputs_go(redis: Redis) -> None:
    bench = Bench(redis, restorer := Inverting())
    for level in range(20):
        await bench.submit(f"job{level}", picture(level), [picture(200)])
    async with bench.working():
        for level in range(20):
            job = await bench.ended(f"job{level}")
            assert job.result is not None
            data = await bench.blobs.get(job.result.image.key)
            assert data is not None
            assert (pixels_of(data) == 255 - level).all()
            assert job.result.selection is not None
            assert await bench.blobs.get(job.result.selection.key) is not None
            assert job.faces[0].selected == pytest.approx((0.2,))
    assert sum(restorer.batches) == 20
    assert max(restorer.batches) > 1  # faces of different jobs shared a batch
    assert not [key async for key in redis.scan_iter("*/0")]


async def test_a_failing_batch_is_repeated_one_by_one(redis: Redis) -> None:
    def fail_on_nine(tasks: Sequence[FaceTask]) -> None:
        if any(t.low_quality[0, 0, 0] == 9 for t in tasks):
            raise RuntimeError("no")

    bench = Bench(redis, Inverting(fail_on_nine))
    for level in range(7, 12):
        await bench.submit(f"job{level}", picture(level))
    async with bench.working():
        for level in (7, 8, 10, 11):
            assert (await bench.ended(f"job{level}")).status is JobStatus.SUCCEEDED
        failed = await bench.ended("job9")
        assert failed.status is JobStatus.FAILED
        assert failed.failure is not None
        assert failed.failure.code == "inference-failed"


async def test_numbers_that_are_not_finite_fail_the_job_and_leave_no_result(redis: Redis) -> None:
    bench = Bench(redis, Inverting(finite=False))
    await bench.submit("sick", picture(3))
    async with bench.working():
        job = await bench.ended("sick")
    assert job.status is JobStatus.FAILED
    assert job.result is None
    assert not [key async for key in redis.scan_iter("*sick/result*")]


@pytest.mark.parametrize(
    ("upload", "references", "changes", "code", "names"),
    [
        (picture(3)[:60], [], {}, "image-truncated", "image (0.png)"),
        (picture(3), [b"no picture at all"], {}, "not-an-image", "reference 1 (1.png)"),
        (file_of(np.zeros((30, 60, 3), np.uint8)), [], {}, "not-square", "60 x 30"),
        (picture(3), [], {"model": "other"}, "unknown-model", "other"),
        (picture(3), [], {"faces": "all"}, "faces-mode-unavailable", "all"),
    ],
)
async def test_a_job_that_cannot_be_done_says_why(
    redis: Redis, upload: bytes, references: list[bytes], changes: dict[str, object], code: str, names: str
) -> None:
    bench = Bench(redis, Inverting())
    await bench.submit("bad", upload, references, **changes)
    await bench.submit("good", picture(5))
    async with bench.working():
        job = await bench.ended("bad")
        assert (await bench.ended("good")).status is JobStatus.SUCCEEDED
    assert job.failure is not None
    assert job.failure.code == code
    assert names in job.failure.detail


async def test_an_upload_that_is_gone_ends_the_job(redis: Redis) -> None:
    bench = Bench(redis, Inverting())
    await bench.submit("gone", picture(3))
    await bench.blobs.delete("gone/0")
    async with bench.working():
        job = await bench.ended("gone")
    assert job.failure is not None
    assert job.failure.code == "input-expired"


async def test_a_job_canceled_while_it_runs_keeps_no_result(redis: Redis) -> None:
    loop, begun, go_on = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()

    def wait(tasks: Sequence[FaceTask]) -> None:
        loop.call_soon_threadsafe(begun.set)
        asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result()

    bench = Bench(redis, Inverting(wait))
    await bench.submit("late", picture(3))
    async with bench.working():
        await begun.wait()
        await bench.queue.cancel("late")
        go_on.set()
        job = await bench.ended("late")
        assert job.status is JobStatus.CANCELED
    assert not [key async for key in redis.scan_iter("*late/*")]


async def test_a_stopped_worker_finishes_what_runs_and_gives_back_the_rest(redis: Redis) -> None:
    loop, begun, go_on = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()

    def wait(tasks: Sequence[FaceTask]) -> None:
        loop.call_soon_threadsafe(begun.set)
        asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result()

    bench = Bench(redis, Inverting(wait))
    await bench.submit("running", picture(1))
    async with bench.working():
        await begun.wait()
        await bench.submit("waiting", picture(2))
        while (await bench.queue.get("waiting")).status is JobStatus.QUEUED:  # type: ignore[union-attr]  # noqa: ASYNC110
            await asyncio.sleep(0.02)  # until it is prefetched
        bench.stopping.set()
        go_on.set()
    other = JobQueue(redis)
    assert (await other.get("running")).status is JobStatus.SUCCEEDED  # type: ignore[union-attr]
    left = await other.get("waiting")
    assert left is not None
    assert (left.status, left.attempts) == (JobStatus.QUEUED, 0)
    assert len(await other.reserve(5)) == 1  # at once, not after stale_after
    assert await other.workers() == []
    await other.aclose()


async def test_a_job_that_is_tried_again_has_the_worker_to_itself(redis: Redis) -> None:
    dead = JobQueue(redis, stale_after=0.2, worker="dead")
    bench = Bench(redis, restorer := Inverting())
    bench.queue.stale_after = 0.2
    await bench.submit("suspect", picture(9))
    assert await dead.start(await dead.reserve(1))  # a worker that dies here
    await asyncio.sleep(0.3)
    seen: list[int] = []

    def look(tasks: Sequence[FaceTask]) -> None:
        if tasks[0].low_quality[0, 0, 0] == 9:
            seen.append(len(bench.worker._begun))

    restorer.act = look
    for level in range(1, 6):
        await bench.submit(f"job{level}", picture(level))
    async with bench.working():
        for name in ["suspect", *(f"job{level}" for level in range(1, 6))]:
            assert (await bench.ended(name)).status is JobStatus.SUCCEEDED
    assert seen == [1]  # nobody else's attempt was counted meanwhile
    await dead.aclose()


async def test_a_redis_that_refuses_writes_is_waited_for(redis: Redis) -> None:
    bench = Bench(redis, Inverting())
    await bench.submit("first", picture(1))
    await bench.submit("second", picture(2))
    try:
        # As it does with a full disk (MISCONF), only that this refusal can be switched on.
        await redis.config_set("min-replicas-to-write", 1)
        async with bench.working():
            await asyncio.sleep(1)
            await redis.config_set("min-replicas-to-write", 0)
            for name in ("first", "second"):
                assert (await bench.ended(name)).attempts == 1
    finally:
        await redis.config_set("min-replicas-to-write", 0)


async def test_the_uploads_of_a_job_out_of_attempts_go_too(redis: Redis) -> None:
    dead = JobQueue(redis, stale_after=0.2, max_attempts=1, worker="dead")
    bench = Bench(redis, Inverting())
    bench.queue.stale_after, bench.queue.max_attempts = 0.2, 1
    await bench.submit("poison", picture(9), [picture(8)])
    assert await dead.start(await dead.reserve(1))  # a worker that dies here
    await asyncio.sleep(0.3)
    async with bench.working():
        job = await bench.ended("poison")
        assert job.failure is not None
        assert job.failure.code == "worker-lost"
        async with asyncio.timeout(5):
            while [key async for key in redis.scan_iter("*poison/*")]:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    await dead.aclose()


async def test_a_result_that_cannot_be_encoded_fails_its_job_at_once(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise OSError("encoder error -2")  # as Pillow says it; not the trouble of a store, which passes

    monkeypatch.setattr(pipeline, "compose", fail)
    bench = Bench(redis, Inverting())
    await bench.submit("odd", picture(3))
    async with bench.working():
        job = await bench.queue.wait("odd", 3)
    assert job is not None
    assert job.failure is not None
    assert job.failure.code == "inference-failed"
