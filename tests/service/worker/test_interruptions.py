"""A worker that is stopped, a Redis that goes away, jobs that are tried again or found stale."""

import asyncio
import threading
from collections.abc import Sequence

import pytest
from inverting import Inverting
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from refstar_service.engine.restorer import FaceTask
from refstar_service.jobs import (
    Attempt,
    JobQueue,
    JobStatus,
    Reservation,
)
from refstar_service.jobs.request import input_keys
from refstar_service.worker import patience, pipeline
from worker_bench import Bench, picture


async def test_a_worker_that_ends_finishes_the_faces_that_are_at_the_model(redis: Redis) -> None:
    begun, go_on = threading.Barrier(3, timeout=10), threading.Event()

    def wait(tasks: Sequence[FaceTask]) -> None:
        begun.wait()
        assert go_on.wait(10)

    bench = Bench(redis, Inverting(wait), rounds_at_once=2, faces_at_once=1)
    for level in range(4):
        await bench.submit(f"job{level}", picture(level))
    async with bench.working():
        await asyncio.to_thread(begun.wait)
        bench.stopping.set()
        go_on.set()
    states = [(await bench.queue.get(f"job{level}")) for level in range(4)]
    assert [job.status for job in states if job] == [JobStatus.SUCCEEDED] * 2 + [JobStatus.QUEUED] * 2


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
            seen.append(len(bench.worker.holdings.begun))

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


async def test_jobs_that_were_reserved_when_redis_went_away_are_begun_when_it_is_back(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(redis, Inverting())
    for level in range(3):
        await bench.submit(f"job{level}", picture(level))
    start, away = bench.queue.start, 2

    async def start_later(reservations: Sequence[Reservation]) -> list[Attempt | None]:
        nonlocal away
        if away:
            away -= 1
            raise RedisConnectionError("away")
        return await start(reservations)

    monkeypatch.setattr(bench.queue, "start", start_later)
    async with bench.working():
        for level in range(3):
            assert (await bench.ended(f"job{level}")).attempts == 1
    assert not bench.worker.holdings.held


async def test_jobs_that_no_attempt_could_be_counted_for_are_left_to_others(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "PATIENCE", 0)

    tried = asyncio.Event()

    async def fail(reservations: Sequence[Reservation]) -> list[Attempt | None]:
        tried.set()
        raise RedisConnectionError("away")

    bench = Bench(redis, Inverting())
    bench.queue.stale_after = 0.2
    await bench.submit("one", picture(1))
    monkeypatch.setattr(bench.queue, "start", fail)
    other = JobQueue(redis, stale_after=0.2)
    async with bench.working():
        await tried.wait()
        async with asyncio.timeout(20):
            while not (found := await other.reserve(1, block=0.1)):
                pass
    assert [one.job_id for one in found] == ["one"]
    await other.aclose()


async def test_a_worker_that_finds_its_own_job_stale_goes_on_with_it(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, begun, go_on = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()

    def wait(tasks: Sequence[FaceTask]) -> None:
        loop.call_soon_threadsafe(begun.set)
        asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result()

    async def missed(held: Sequence[object]) -> list[object]:
        return []

    bench = Bench(redis, restorer := Inverting(wait))
    bench.queue.stale_after = 0.2
    monkeypatch.setattr(bench.queue, "heartbeat", missed)  # as in a pause of the machine
    await bench.submit("one", picture(1))
    async with bench.working():
        await begun.wait()
        await asyncio.sleep(0.6)
        go_on.set()
        assert (await bench.ended("one")).attempts == 1
    assert restorer.batches == [1]


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


async def test_the_uploads_of_a_job_that_waited_too_long_go_when_a_worker_meets_it(redis: Redis) -> None:
    bench = Bench(redis, Inverting())
    bench.queue.job_ttl = 0.1
    await bench.submit("late", picture(1), [picture(2), picture(3)])
    for key in input_keys("late")[:3]:  # as the gateway names them
        await bench.blobs.put(key, picture(1), 60)
    await asyncio.sleep(0.15)
    bench.queue.job_ttl = 60
    async with bench.working():
        async with asyncio.timeout(5):
            while [key async for key in redis.scan_iter("*blob:late/[ir]*")]:  # noqa: ASYNC110
                await asyncio.sleep(0.02)


async def test_what_goes_wrong_beside_the_stages_is_logged_and_tried_again(
    redis: Redis, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bench, tried = Bench(redis, Inverting()), asyncio.Event()
    calls = 0

    async def forget_deleted() -> None:
        nonlocal calls
        calls += 1
        if calls > 1:
            tried.set()
        raise RuntimeError("dictionary changed size during iteration")

    monkeypatch.setattr(pipeline, "FORGET_EVERY", 0.01)
    monkeypatch.setattr(bench.worker.people, "forget_deleted", forget_deleted)
    async with bench.working(), asyncio.timeout(5):
        await tried.wait()
    assert "dictionary changed size" in caplog.text
