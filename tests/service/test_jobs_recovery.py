"""What happens to jobs when workers die, replies come late, or Redis forgets."""

import asyncio
import json
import sys
import time

import pytest
from redis.asyncio import Redis
from redis.exceptions import OutOfMemoryError
from refstar_service.jobs import Attempt, JobQueue, JobStatus, Outcome, Priority, Reservation, RestoreRequest

WORKER = """
import asyncio, json, sys
import pytest
from redis.asyncio import Redis
from redis.exceptions import OutOfMemoryError
from refstar_service.jobs import JobQueue

async def main():
    queue = JobQueue(Redis.from_url(sys.argv[1]), stale_after=1.5, worker="victim")
    started = await queue.start(await queue.reserve(4))
    held = started + await queue.reserve(4, block=0)
    print(json.dumps([[one.job_id, one.fence, one.reservation.entry] for one in started]), flush=True)
    while True:
        await queue.heartbeat(held)
        await asyncio.sleep(0.05)

asyncio.run(main())
"""


async def test_a_killed_workers_job_goes_to_another_and_its_late_outcome_is_refused(
    new_queue, redis_server: str, request_for_jobs: RestoreRequest, success: Outcome, failure: Outcome
) -> None:
    queue = new_queue(stale_after=1.5)
    await queue.submit("one", request_for_jobs)
    victim = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WORKER, redis_server, stdout=asyncio.subprocess.PIPE
    )
    try:
        line = await victim.stdout.readline()
        # While it lives it keeps the job, for longer than the stale time.
        assert await queue.reserve(4, block=1.9) == []
    finally:
        victim.kill()
        await victim.communicate()
    killed_at = time.monotonic()
    [[name, fence, entry]] = json.loads(line)
    late = Attempt(name, 1, fence, request_for_jobs, Reservation(name, Priority.NORMAL, entry, retried=False))

    held: list[Reservation] = []
    while not held and time.monotonic() - killed_at < 8:
        held = await queue.reserve(4, block=0.1)
    assert 0.3 < time.monotonic() - killed_at < 6
    assert [(one.job_id, one.retried) for one in held] == [("one", True)]
    [started] = await queue.start(held)
    assert started.attempt == 2
    assert (await queue.get("one")).attempts == 2

    assert await queue.finish([(late, failure)]) == [False]
    assert (await queue.get("one")).status is JobStatus.RUNNING
    assert await queue.finish([(started, success)]) == [True]
    assert await queue.finish([(late, failure)]) == [False]
    assert (await queue.get("one")).status is JobStatus.SUCCEEDED


async def test_a_job_that_kills_its_workers_is_given_up_after_three(
    new_queue, request_for_jobs: RestoreRequest
) -> None:
    queue = new_queue(stale_after=0.03)
    await queue.submit("poison", request_for_jobs)
    for attempt in (1, 2, 3):
        [started] = await queue.start(await queue.reserve(4))
        assert started.attempt == attempt
        await asyncio.sleep(0.04)

    assert await queue.start(await queue.reserve(4)) == [None]
    job = await queue.get("poison")
    assert (job.status, job.attempts) == (JobStatus.FAILED, 3)
    assert job.failure.code == "worker-lost"
    assert job.result is None
    assert sum((await queue.depth()).values()) == 0


async def test_retried_jobs_come_one_by_one_and_before_fresh_ones(
    new_queue, request_for_jobs: RestoreRequest
) -> None:
    queue = new_queue(stale_after=1.0)
    for name in ("begun-0", "begun-1", "held"):
        await queue.submit(name, request_for_jobs)
    lost = await queue.reserve(3)
    await queue.start(lost[:2])
    await queue.submit("fresh", request_for_jobs)
    await asyncio.sleep(1.02)

    batches = [await queue.reserve(4, block=0) for _ in range(4)]
    assert [[one.job_id for one in batch] for batch in batches] == [
        ["begun-0"],
        ["begun-1"],
        ["held", "fresh"],
        [],
    ]
    assert [[one.retried for one in batch] for batch in batches] == [[True], [True], [False, False], []]


async def test_heartbeats_keep_jobs_that_are_not_begun_too(
    new_queue, request_for_jobs: RestoreRequest
) -> None:
    first, second = new_queue(stale_after=1.0), new_queue(stale_after=1.0)
    await first.submit("begun", request_for_jobs)
    await first.submit("held", request_for_jobs, priority=Priority.HIGH)
    held, begun = await first.reserve(2)
    [started] = await first.start([begun])
    for _ in range(12):
        assert await first.heartbeat([started, held]) == []
        assert await second.reserve(4, block=0.1) == []
    assert (await first.get("begun")).attempts == 1


async def test_a_worker_that_slept_too_long_has_lost_its_jobs(
    new_queue, request_for_jobs: RestoreRequest, success: Outcome
) -> None:
    first, second = new_queue(stale_after=1.0), new_queue(stale_after=1.0)
    await first.submit("one", request_for_jobs)
    await first.submit("two", request_for_jobs)
    one, two = await first.reserve(2)
    [begun] = await first.start([one])
    await asyncio.sleep(1.02)
    taken = await second.reserve(2) + await second.reserve(2)
    assert [reservation.job_id for reservation in taken] == ["one", "two"]

    # None of what it does now takes them back.
    assert await first.heartbeat([begun, two]) == [begun, two]
    await first.release([begun, two])
    assert await first.start([two]) == [None]
    assert await second.heartbeat(taken) == []
    [again, other] = await second.start(taken)
    assert (again.attempt, other.attempt) == (2, 1)
    assert await first.finish([(begun, success)]) == [False]
    assert await second.finish([(again, success), (other, success)]) == [True, True]


async def test_a_late_outcome_counts_if_nobody_has_begun_again(
    new_queue, request_for_jobs: RestoreRequest, success: Outcome
) -> None:
    first, second = new_queue(stale_after=0.03), new_queue(stale_after=0.03)
    await first.submit("one", request_for_jobs)
    [begun] = await first.start(await first.reserve(1))
    await asyncio.sleep(0.04)
    taken = await second.reserve(1)
    assert await first.finish([(begun, success)]) == [True]
    assert await second.start(taken) == [None]
    assert (await second.get("one")).attempts == 1
    assert sum((await second.depth()).values()) == 0


async def test_a_job_canceled_while_its_worker_was_dying_ends_canceled(
    new_queue, request_for_jobs: RestoreRequest
) -> None:
    queue = new_queue(stale_after=0.03)
    await queue.submit("one", request_for_jobs)
    await queue.start(await queue.reserve(1))
    await queue.cancel("one")
    await asyncio.sleep(0.04)
    assert await queue.start(await queue.reserve(1)) == [None]
    assert (await queue.get("one")).status is JobStatus.CANCELED


async def test_stale_jobs_are_found_behind_many_live_ones(
    new_queue, request_for_jobs: RestoreRequest
) -> None:
    busy, dead, looking = (new_queue(stale_after=1.2) for _ in range(3))
    for i in range(60):
        await busy.submit(f"busy-{i}", request_for_jobs)
    await busy.submit("lost", request_for_jobs)
    held = await busy.reserve(60)
    assert [one.job_id for one in await dead.reserve(1)] == ["lost"]
    await asyncio.sleep(0.8)
    await busy.heartbeat(held)
    await asyncio.sleep(0.42)
    # XAUTOCLAIM looks at ten entries per entry wanted and then wants to be called again.
    assert [one.job_id for one in await looking.reserve(1, block=0)] == ["lost"]


async def test_a_flushed_redis_is_set_up_again(
    queue: JobQueue, redis: Redis, request_for_jobs: RestoreRequest, success: Outcome
) -> None:
    await queue.submit("lost", request_for_jobs)
    [started] = await queue.start(await queue.reserve(1))
    await redis.flushall()
    assert await queue.get("lost") is None
    assert await queue.finish([(started, success)]) == [False]
    assert await queue.heartbeat([started]) == [started]
    assert await queue.survey()

    await redis.flushall()
    # Submitted before the group exists, and found all the same.
    await queue.submit("new", request_for_jobs)
    assert [one.job_id for one in await queue.reserve(1, block=0)] == ["new"]


async def test_a_flush_during_a_blocking_reserve_does_not_end_it(
    queue: JobQueue, redis: Redis, request_for_jobs: RestoreRequest
) -> None:
    waiting = asyncio.create_task(queue.reserve(1, block=1.0))
    await asyncio.sleep(0.05)
    await redis.flushall()
    await queue.submit("new", request_for_jobs)
    assert [one.job_id for one in await waiting] == ["new"]


async def test_with_its_memory_full_redis_takes_no_jobs_but_ends_those_it_has(
    queue: JobQueue, redis: Redis, request_for_jobs: RestoreRequest, success: Outcome
) -> None:
    for name in ("finished", "canceled", "released", "running"):
        await queue.submit(name, request_for_jobs)
    held = await queue.reserve(4)
    used = (await redis.info("memory"))["used_memory"]
    before = (await redis.config_get("maxmemory"))["maxmemory"]
    await redis.config_set("maxmemory", used // 2)
    try:
        with pytest.raises(OutOfMemoryError):
            await queue.submit("refused", request_for_jobs)
        finished, canceled, released, running = await queue.start(held)
        await queue.cancel("canceled")
        await queue.release([released])
        assert await queue.heartbeat([finished, canceled, running]) == [canceled]
        outcomes = [(finished, success), (canceled, success)]
        assert await queue.finish(outcomes) == [True, False]
    finally:
        await redis.config_set("maxmemory", before)
    assert await queue.get("refused") is None
    assert (await queue.get("finished")).result == success.result
    assert (await queue.get("canceled")).status is JobStatus.CANCELED
    assert (await queue.get("released")).status is JobStatus.QUEUED
    assert (await queue.depth())[Priority.NORMAL] == 2


async def test_housekeeping_forgets_idle_consumers_that_hold_nothing(
    new_queue, redis: Redis, request_for_jobs: RestoreRequest
) -> None:
    idle, holding = new_queue(worker="idle"), new_queue(worker="holding")
    await idle.submit("one", request_for_jobs)
    await idle.submit("two", request_for_jobs)
    await idle.release(await idle.reserve(1))
    await holding.reserve(2)
    await asyncio.sleep(0.02)
    assert await holding.housekeeping(idle=60) == 0
    assert await holding.housekeeping(idle=0.01) > 0
    consumers = await redis.xinfo_consumers("{refstar}:queue:normal", "workers")
    assert [(one["name"], one["pending"]) for one in consumers] == [(b"holding", 2)]
