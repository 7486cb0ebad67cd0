"""Waiting for a job, and word of its changes."""

import asyncio
import time

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from refstar_service.jobs import JobQueue, JobStatus, Outcome, RestoreRequest, WorkerInfo, changes


async def test_wait_returns_as_soon_as_the_job_is_finished(
    new_queue, request_for_jobs: RestoreRequest, success: Outcome
) -> None:
    gateway, worker = new_queue(), new_queue()
    await gateway.submit("one", request_for_jobs)
    waiting = asyncio.create_task(gateway.wait("one", 5))
    await asyncio.sleep(0.05)
    [started] = await worker.start(await worker.reserve(1))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    await worker.finish([(started, success)])
    before = time.monotonic()
    job = await waiting
    assert job.status is JobStatus.SUCCEEDED
    assert time.monotonic() - before < 3


async def test_wait_returns_the_job_as_it_stands_after_its_time(
    queue: JobQueue, request_for_jobs: RestoreRequest
) -> None:
    submitted = await queue.submit("one", request_for_jobs)
    before = time.monotonic()
    assert await queue.wait("one", 0.1) == submitted
    assert 0.09 < time.monotonic() - before < 3
    assert await queue.wait("one", 0) == submitted


async def test_wait_does_not_wait_for_what_is_over_or_not_there(
    queue: JobQueue, request_for_jobs: RestoreRequest
) -> None:
    await queue.submit("one", request_for_jobs)
    canceled = await queue.cancel("one")
    assert await queue.wait("one", 10) == canceled
    assert await queue.wait("nobody", 10) is None


async def test_wait_ends_when_the_job_is_deleted(queue: JobQueue, request_for_jobs: RestoreRequest) -> None:
    await queue.submit("one", request_for_jobs)
    waiting = asyncio.create_task(queue.wait("one", 10))
    await asyncio.sleep(0.05)
    await queue.delete("one")
    assert await waiting is None


async def test_thousands_of_clients_wait_on_one_connection_and_are_woken_at_once(
    queue: JobQueue, redis: Redis, request_for_jobs: RestoreRequest
) -> None:
    names = [f"job-{i}" for i in range(50)]
    for name in names:
        await queue.submit(name, request_for_jobs)
    waiting = [asyncio.create_task(queue.wait(name, 10)) for name in names for _ in range(40)]
    await asyncio.sleep(0.2)
    [(_, subscribers)] = await redis.pubsub_numsub("{refstar}:changes")
    assert subscribers == 1
    for name in names:
        await queue.cancel(name)
    jobs = await asyncio.gather(*waiting)
    assert {job.status for job in jobs} == {JobStatus.CANCELED}


async def test_a_watcher_hears_of_every_step(
    queue: JobQueue, request_for_jobs: RestoreRequest, success: Outcome
) -> None:
    await queue.submit("one", request_for_jobs)
    versions = []

    async def step(changed: asyncio.Event) -> None:
        await asyncio.wait_for(changed.wait(), 2)
        changed.clear()
        versions.append((await queue.get("one")).version)

    async with queue.watch("one") as changed:
        await asyncio.sleep(0.05)
        changed.clear()
        [started] = await queue.start(await queue.reserve(1))
        await step(changed)
        await queue.release([started])
        await step(changed)
        [started] = await queue.start(await queue.reserve(1))
        await step(changed)
        await queue.cancel("one")
        await step(changed)
        await queue.finish([(started, success)])
        await step(changed)
    assert versions == sorted(set(versions))
    assert len(versions) == 5


async def test_who_waits_for_the_end_hears_of_nothing_else(
    queue: JobQueue, request_for_jobs: RestoreRequest, success: Outcome
) -> None:
    async with queue.watch("one", end_only=True) as ended, queue.watch("one") as changed:
        await asyncio.sleep(0.05)  # both are told when the subscription stands
        ended.clear()
        changed.clear()
        await queue.submit("one", request_for_jobs)
        [started] = await queue.start(await queue.reserve(1))
        await asyncio.wait_for(changed.wait(), 2)
        await asyncio.sleep(0.05)
        assert not ended.is_set()
        await queue.finish([(started, success)])
        await asyncio.wait_for(ended.wait(), 2)
        ended.clear()
        await queue.delete("one")
        await asyncio.wait_for(ended.wait(), 2)


async def test_waiting_survives_the_loss_of_the_connection(
    queue: JobQueue, redis: Redis, request_for_jobs: RestoreRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "RECONNECT_AFTER", 0.05)
    await queue.submit("one", request_for_jobs)
    waiting = asyncio.create_task(queue.wait("one", 10))
    await asyncio.sleep(0.05)
    await redis.client_kill_filter(_type="pubsub")
    await queue.cancel("one")
    before = time.monotonic()
    assert (await waiting).status is JobStatus.CANCELED
    assert time.monotonic() - before < 3


async def test_a_silent_connection_is_checked(
    queue: JobQueue, request_for_jobs: RestoreRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "SILENCE", 0.02)
    await queue.submit("one", request_for_jobs)
    waiting = asyncio.create_task(queue.wait("one", 10))
    await asyncio.sleep(0.3)
    assert not waiting.done()
    await queue.cancel("one")
    assert (await waiting).status is JobStatus.CANCELED


async def test_waiting_without_redis_is_an_error(unused_tcp_port: int) -> None:
    async with Redis(port=unused_tcp_port, retry=None) as nowhere:
        queue = JobQueue(nowhere)
        with pytest.raises(RedisConnectionError):
            await queue.wait("one", 10)
        await queue.aclose()


async def test_workers_are_present_for_as_long_as_they_say(queue: JobQueue) -> None:
    first = WorkerInfo("first", ("refstar", "ganprior"), "CUDAExecutionProvider", 1.5)
    second = WorkerInfo("second", ("refstar",), "CPUExecutionProvider", 2.5)
    assert await queue.workers() == []
    await queue.announce_worker(second, 10)
    await queue.announce_worker(first, 0.3)
    assert await queue.workers() == [first, second]
    await asyncio.sleep(0.31)
    assert await queue.workers() == [second]
    await queue.announce_worker(first, 10)
    assert await queue.workers() == [first, second]
    await queue.withdraw_worker("second")
    assert await queue.workers() == [first]


async def test_a_message_that_cannot_be_read_ends_no_wait(
    queue: JobQueue,
    redis: Redis,
    request_for_jobs: RestoreRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(changes, "RECONNECT_AFTER", 0.01)
    await queue.submit("one", request_for_jobs)
    waiting = asyncio.create_task(queue.wait("one", 20))
    await asyncio.sleep(0.05)
    await redis.publish("{refstar}:changes", "what is this")
    await redis.publish("{refstar}:changes", "this")
    await asyncio.sleep(0.1)
    before = time.monotonic()
    await queue.cancel("one")
    job = await waiting
    assert job is not None
    assert job.status is JobStatus.CANCELED
    assert time.monotonic() - before < 3
