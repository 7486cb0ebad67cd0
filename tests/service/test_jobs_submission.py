"""The client's side of the queue: submit, read, cancel, delete, expire."""

import asyncio
import time

import pytest
from redis.asyncio import Redis
from refstar_service.jobs import JobQueue, JobStatus, Outcome, Priority, QueueFullError, RestoreRequest


async def test_a_submitted_job_is_queued_as_asked(queue: JobQueue, request_for_jobs: RestoreRequest) -> None:
    job = await queue.submit("one", request_for_jobs, priority=Priority.HIGH, owner="key-1")

    assert job == await queue.get("one")
    assert (job.id, job.status, job.priority, job.owner) == ("one", JobStatus.QUEUED, Priority.HIGH, "key-1")
    assert job.request == request_for_jobs
    assert (job.attempts, job.started_at, job.finished_at, job.canceling) == (0, None, None, False)
    assert job.created_at == pytest.approx(time.time(), abs=5)
    assert job.expires_at == pytest.approx(job.created_at + 86400, abs=1)
    assert await queue.get("another") is None


async def test_submitting_an_id_twice_queues_it_once(
    queue: JobQueue, request_for_jobs: RestoreRequest
) -> None:
    first = await queue.submit("one", request_for_jobs)
    again = await asyncio.gather(*(queue.submit("one", request_for_jobs) for _ in range(5)))
    assert again == [first] * 5
    assert await queue.depth() == {Priority.NORMAL: 1, Priority.HIGH: 0}


async def test_a_full_queue_stores_nothing(new_queue, redis: Redis, request_for_jobs: RestoreRequest) -> None:
    queue = new_queue(limit=2)
    await queue.submit("one", request_for_jobs)
    await queue.submit("two", request_for_jobs, priority=Priority.HIGH)
    keys = set(await redis.keys("*"))

    with pytest.raises(QueueFullError) as refusal:
        await queue.submit("three", request_for_jobs)
    assert (refusal.value.depth, refusal.value.limit) == (2, 2)
    assert set(await redis.keys("*")) == keys
    assert await queue.get("three") is None
    # What is known already is answered even so.
    assert (await queue.submit("one", request_for_jobs)).status is JobStatus.QUEUED


async def test_a_job_in_flight_counts_until_it_is_finished(
    new_queue, request_for_jobs: RestoreRequest, success: Outcome
) -> None:
    queue = new_queue(limit=1)
    await queue.submit("one", request_for_jobs)
    [started] = await queue.start(await queue.reserve(1))
    with pytest.raises(QueueFullError):
        await queue.submit("two", request_for_jobs)
    await queue.finish([(started, success)])
    await queue.submit("two", request_for_jobs)


async def test_position_counts_the_jobs_before_it(queue: JobQueue, request_for_jobs: RestoreRequest) -> None:
    for name in ("a", "b", "c"):
        await queue.submit(name, request_for_jobs)
    await queue.submit("urgent", request_for_jobs, priority=Priority.HIGH)
    assert [await queue.position(name) for name in ("urgent", "a", "b", "c")] == [0, 1, 2, 3]

    held = await queue.reserve(2)
    assert [reservation.job_id for reservation in held] == ["urgent", "a"]
    assert [await queue.position(name) for name in ("urgent", "a", "b", "c")] == [0, 0, 0, 1]
    await queue.start(held)
    assert await queue.position("a") is None
    assert await queue.position("nobody") is None


async def test_a_queued_job_is_canceled_at_once(queue: JobQueue, request_for_jobs: RestoreRequest) -> None:
    await queue.submit("one", request_for_jobs)
    await queue.submit("two", request_for_jobs)
    job = await queue.cancel("one")

    assert job is not None
    assert job.status is JobStatus.CANCELED
    assert job.finished_at is not None
    assert await queue.cancel("one") == job
    started = await queue.start(await queue.reserve(2))
    assert [one and one.job_id for one in started] == ["two"]
    assert (await queue.depth())[Priority.NORMAL] == 1
    assert (await queue.get("one")) == job


async def test_a_running_job_is_canceled_by_its_finish(
    queue: JobQueue, request_for_jobs: RestoreRequest, success: Outcome
) -> None:
    await queue.submit("one", request_for_jobs)
    [started] = await queue.start(await queue.reserve(1))
    running = await queue.get("one")
    job = await queue.cancel("one")

    assert job is not None
    assert running is not None
    assert (job.status, job.canceling) == (JobStatus.RUNNING, True)
    assert job.version > running.version
    assert await queue.cancel("one") == job
    assert await queue.heartbeat([started]) == [started]

    assert await queue.finish([(started, success)]) == [False]
    canceled = await queue.get("one")
    assert canceled is not None
    assert (canceled.status, canceled.canceling, canceled.result) == (JobStatus.CANCELED, False, None)
    assert canceled.version > job.version
    assert sum((await queue.depth()).values()) == 0


async def test_a_canceled_job_that_is_given_back_ends(
    queue: JobQueue, request_for_jobs: RestoreRequest
) -> None:
    await queue.submit("one", request_for_jobs)
    [started] = await queue.start(await queue.reserve(1))
    await queue.cancel("one")
    await queue.release([started])
    assert (await queue.get("one")).status is JobStatus.CANCELED
    assert sum((await queue.depth()).values()) == 0


async def test_cancel_leaves_terminal_jobs_as_they_are(
    queue: JobQueue, request_for_jobs: RestoreRequest, success: Outcome, failure: Outcome
) -> None:
    for name, outcome in (("good", success), ("bad", failure)):
        await queue.submit(name, request_for_jobs)
        [started] = await queue.start(await queue.reserve(1))
        await queue.finish([(started, outcome)])
        before = await queue.get(name)
        assert await queue.cancel(name) == before
    assert await queue.cancel("nobody") is None


async def test_a_deleted_job_is_gone_whatever_it_did(
    queue: JobQueue, redis: Redis, request_for_jobs: RestoreRequest, success: Outcome
) -> None:
    for name in ("finished", "running", "held", "queued"):
        await queue.submit(name, request_for_jobs)
    finished, running = await queue.start(await queue.reserve(2))
    await queue.finish([(finished, success)])
    held = await queue.reserve(1)

    last = [await queue.delete(name) for name in ("finished", "running", "held", "queued")]
    states = [JobStatus.SUCCEEDED, JobStatus.RUNNING, JobStatus.QUEUED, JobStatus.QUEUED]
    assert [job.status for job in last if job] == states
    assert last[0].result == success.result
    assert [await queue.get(name) for name in ("finished", "running", "held", "queued")] == [None] * 4
    assert await queue.delete("finished") is None

    assert await queue.heartbeat([running, *held]) == [running, *held]
    assert await queue.finish([(running, success)]) == [False]
    assert await queue.reserve(1, block=0) == []
    assert await queue.start(held) == [None]
    # Nothing is left, not even in the streams.
    assert sum((await queue.depth()).values()) == 0
    assert {key for key in await redis.keys("*") if b":queue:" not in key} == set()


async def test_a_finished_job_expires_and_then_is_forgotten(
    new_queue, redis: Redis, request_for_jobs: RestoreRequest, success: Outcome
) -> None:
    queue = new_queue(result_ttl=0.3, tombstone_ttl=0.3)
    await queue.submit("one", request_for_jobs, owner="key-1")
    [started] = await queue.start(await queue.reserve(1))
    await queue.finish([(started, success)])
    finished = await queue.get("one")
    assert finished.status is JobStatus.SUCCEEDED

    await asyncio.sleep(0.31)
    expired = await queue.get("one")
    assert (expired.status, expired.owner, expired.attempts) == (JobStatus.EXPIRED, "key-1", 1)
    assert (expired.result, expired.faces) == (None, ())
    assert expired.request == request_for_jobs.outline()
    assert (expired.created_at, expired.finished_at) == (finished.created_at, finished.finished_at)
    assert expired.expires_at == finished.expires_at
    assert expired.version > finished.version
    assert await queue.cancel("one") == expired
    assert (await queue.submit("one", request_for_jobs)).status is JobStatus.EXPIRED

    await asyncio.sleep(0.31)
    assert await queue.get("one") is None
    assert (await queue.jobs_of("key-1", limit=1)).jobs == ()  # and whoever looks clears the index of it
    assert {key for key in await redis.keys("*") if b":queue:" not in key} == set()


async def test_a_job_that_waits_too_long_expires(new_queue, request_for_jobs: RestoreRequest) -> None:
    queue = new_queue(job_ttl=0.1)
    await queue.submit("one", request_for_jobs)
    await asyncio.sleep(0.15)
    assert (await queue.get("one")).status is JobStatus.EXPIRED
    assert await queue.start(await queue.reserve(1)) == [None]
    assert sum((await queue.depth()).values()) == 0


async def test_starting_a_job_gives_it_its_full_time_again(
    new_queue, request_for_jobs: RestoreRequest
) -> None:
    queue = new_queue(job_ttl=0.5)
    submitted = await queue.submit("one", request_for_jobs)
    await asyncio.sleep(0.25)
    await queue.start(await queue.reserve(1))
    await asyncio.sleep(0.3)
    running = await queue.get("one")
    assert running.status is JobStatus.RUNNING
    assert running.expires_at > submitted.expires_at
