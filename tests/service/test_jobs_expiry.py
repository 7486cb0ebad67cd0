"""Jobs that nobody ended in their time: that is their outcome, it is recorded once, and their owner is told."""

import asyncio
import json
from collections.abc import Callable

import pytest
from redis.asyncio import Redis
from refstar_service.jobs import EnrollRequest, Job, JobQueue, JobStatus, Outcome, RestoreRequest, StoredFile
from refstar_service.redis.replies import read_fields

NewQueue = Callable[..., JobQueue]
HOOK = "https://receiver.example/hook"


@pytest.fixture
def queue(new_queue: NewQueue) -> JobQueue:
    """Unfinished jobs are kept for a moment."""
    return new_queue(job_ttl=0.2, tombstone_ttl=60)


async def read(queue: JobQueue, name: str) -> Job:
    job = await queue.get(name)
    assert job is not None
    return job


async def owed(redis: Redis) -> list[dict[str, str]]:
    """The notices, without their moments."""
    keys = await redis.keys("{refstar}:notice:*")
    found = [read_fields(await redis.hgetall(key)) for key in keys]
    return [{name: value for name, value in one.items() if name != "ended_at"} for one in found]


async def test_a_job_that_no_worker_began_in_time_has_expired_and_says_so_before_anybody_records_it(
    queue: JobQueue, request_for_jobs: RestoreRequest
) -> None:
    await queue.submit("job", request_for_jobs)
    await asyncio.sleep(0.25)
    job = await read(queue, "job")
    assert (job.status, job.finished_at) == (JobStatus.EXPIRED, None)
    assert job.failure is not None
    assert job.failure.code == "restoration-expired"
    assert "No worker began it" in job.failure.detail
    assert "REFSTAR_JOB_TTL" in job.failure.detail


async def test_the_worker_that_comes_to_it_records_its_end_once_and_owes_the_notice(
    queue: JobQueue, redis: Redis, request_for_jobs: RestoreRequest
) -> None:
    await queue.submit("job", request_for_jobs, owner="ada", webhook=HOOK)
    await asyncio.sleep(0.25)
    before = await read(queue, "job")
    held = await queue.reserve(1)
    assert await queue.start(held) == [None]
    job = await read(queue, "job")
    assert job.status is JobStatus.EXPIRED
    assert job.finished_at is not None
    assert job.failure == before.failure
    assert job.version > before.version
    assert await owed(redis) == [{"url": HOOK, "owner": "ada", "status": "expired"}]
    assert await queue.start(held) == [None]  # the reply was lost
    assert await read(queue, "job") == job
    assert await redis.hgetall("{refstar}:notices:owed") == {b"ada": b"1"}
    assert HOOK not in (await redis.get("{refstar}:gone:job")).decode()


@pytest.mark.parametrize("noticed", ["at its end", "by a heartbeat", "by another worker"])
async def test_a_job_that_its_worker_did_not_end_in_time_has_expired(
    new_queue: NewQueue,
    queue: JobQueue,
    redis: Redis,
    request_for_jobs: RestoreRequest,
    success: Outcome,
    noticed: str,
) -> None:
    await queue.submit("job", request_for_jobs, owner="ada", webhook=HOOK)
    [started] = await queue.start(await queue.reserve(1))
    assert started is not None
    await asyncio.sleep(0.25)
    for _ in range(2):
        if noticed == "at its end":
            assert await queue.finish([(started, success)]) == [False]
        elif noticed == "by a heartbeat":
            assert await queue.heartbeat([started]) == [started]
            await queue.release([started])
        else:
            other = new_queue(stale_after=0.1)
            await other.start(await other.reserve(1, block=0))
    job = await read(queue, "job")
    assert job.status is JobStatus.EXPIRED
    assert job.finished_at is not None
    assert job.failure is not None
    assert "Its worker did not end it" in job.failure.detail
    assert await owed(redis) == [{"url": HOOK, "owner": "ada", "status": "expired"}]
    assert sum((await queue.depth()).values()) == 0


async def test_a_result_that_expires_is_no_failure_and_nobody_is_told_again(
    new_queue: NewQueue, redis: Redis, request_for_jobs: RestoreRequest, success: Outcome
) -> None:
    queue = new_queue(result_ttl=0.1)
    await queue.submit("job", request_for_jobs, owner="ada", webhook=HOOK)
    [started] = await queue.start(await queue.reserve(1))
    assert started is not None
    assert await queue.finish([(started, success)]) == [True]
    assert HOOK not in (await redis.get("{refstar}:gone:job")).decode(), "it is owed by now"
    await asyncio.sleep(0.15)
    assert await queue.finish([(started, success)]) == [False]
    job = await read(queue, "job")
    assert (job.status, job.failure) == (JobStatus.EXPIRED, None)
    assert [one["status"] for one in await owed(redis)] == ["succeeded"]


async def test_a_job_that_was_deleted_has_not_expired(
    queue: JobQueue, redis: Redis, request_for_jobs: RestoreRequest
) -> None:
    await queue.submit("job", request_for_jobs, webhook=HOOK)
    held = await queue.reserve(1)
    await queue.delete("job")
    assert await queue.start(held) == [None]
    assert await queue.get("job") is None
    assert await owed(redis) == []


async def test_what_an_older_release_remembered_of_it_is_enough(
    queue: JobQueue, redis: Redis, request_for_jobs: RestoreRequest
) -> None:
    await queue.submit("job", request_for_jobs, webhook=HOOK)
    left = json.loads(await redis.get("{refstar}:gone:job"))
    del left["webhook"]
    await redis.set("{refstar}:gone:job", json.dumps(left), keepttl=True)
    await asyncio.sleep(0.25)
    assert await queue.start(await queue.reserve(1)) == [None]
    job = await read(queue, "job")
    assert job.finished_at is not None
    assert job.failure is not None
    assert await owed(redis) == []


async def test_references_that_nobody_looked_at_in_time_are_told_of_as_such(queue: JobQueue) -> None:
    await queue.submit("person", EnrollRequest((StoredFile("k", "ab" * 32, "image/png", 9, "a.png"),)))
    await asyncio.sleep(0.25)
    job = await read(queue, "person")
    assert job.failure is not None
    assert job.failure.code == "input-expired"
    assert "REFSTAR_JOB_TTL" in job.failure.detail
