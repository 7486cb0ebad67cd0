"""The worker's side of the queue: reserve, start, heartbeat, finish, release."""

import asyncio
import time
from dataclasses import replace

import pytest
from redis.asyncio import Redis
from refstar_service.jobs import JobQueue, JobStatus, Outcome, Priority, RestoreRequest


async def submit(
    queue: JobQueue, request: RestoreRequest, *names: str, priority: Priority = Priority.NORMAL
) -> None:
    for name in names:
        await queue.submit(name, request, priority=priority)


async def test_jobs_come_in_order_and_in_batches(queue: JobQueue, request_for_jobs: RestoreRequest) -> None:
    names = [f"job-{i}" for i in range(7)]
    await submit(queue, request_for_jobs, *names)
    batches = [[one.job_id for one in await queue.reserve(3, block=0)] for _ in range(4)]
    assert batches == [names[:3], names[3:6], names[6:], []]


async def test_a_job_is_given_to_one_worker_only(new_queue, request_for_jobs: RestoreRequest) -> None:
    workers = [new_queue() for _ in range(4)]
    await submit(workers[0], request_for_jobs, *(f"job-{i}" for i in range(40)))
    batches = await asyncio.gather(*(worker.reserve(10) for worker in workers))
    names = [one.job_id for batch in batches for one in batch]
    assert sorted(names) == sorted(f"job-{i}" for i in range(40))


async def test_reserve_waits_for_work_and_wakes_at_once(
    queue: JobQueue, request_for_jobs: RestoreRequest
) -> None:
    waiting = asyncio.create_task(queue.reserve(4, block=2.0))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    before = time.monotonic()
    await submit(queue, request_for_jobs, "one", priority=Priority.HIGH)
    assert [one.job_id for one in await waiting] == ["one"]
    assert time.monotonic() - before < 1.5


@pytest.mark.parametrize("models", [None, ["refstar"]])
async def test_a_job_wakes_one_of_those_who_wait(
    new_queue, redis: Redis, request_for_jobs: RestoreRequest, models: list[str] | None
) -> None:
    """Not all of them: a thousand idle workers would ask for the same job."""
    waiting = [asyncio.create_task(new_queue().reserve(1, block=1.0, models=models)) for _ in range(20)]
    while (await redis.info("clients"))["blocked_clients"] < 20:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    await redis.config_resetstat()
    await submit(new_queue(), request_for_jobs, "one")
    done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    assert [one.job_id for task in done for one in task.result()] == ["one"]
    assert (await redis.info("commandstats"))["cmdstat_evalsha"]["calls"] <= 3  # submit, and who was woken
    await asyncio.gather(*waiting)


async def test_a_worker_with_another_model_is_not_woken(
    new_queue, redis: Redis, request_for_jobs: RestoreRequest
) -> None:
    other, fitting = (
        asyncio.create_task(new_queue().reserve(1, block=1.5, models=[name], others=["refstar"]))
        for name in ("other", "refstar")
    )
    while (await redis.info("clients"))["blocked_clients"] < 2:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    before = time.monotonic()
    await submit(new_queue(), request_for_jobs, "one")
    assert [one.job_id for one in await fitting] == ["one"]
    assert time.monotonic() - before < 1.0
    assert not other.done()
    assert await other == []


async def wait_for_idle(redis: Redis, *names: str) -> None:
    """Until all of these workers are blocked."""
    while (await redis.info("clients"))["blocked_clients"] < len(names):  # noqa: ASYNC110
        await asyncio.sleep(0.01)


async def test_a_worker_that_took_a_job_is_not_called_for_another(
    new_queue, redis: Redis, request_for_jobs: RestoreRequest
) -> None:
    """Although it had put itself down under the other model, too."""
    both, second = new_queue(worker="both"), new_queue(worker="second")
    first_job = asyncio.create_task(both.reserve(1, block=2.0, models=["first", "second"]))
    await wait_for_idle(redis, "both")
    second_job = asyncio.create_task(second.reserve(1, block=2.0, models=["second"]))
    await wait_for_idle(redis, "both", "second")
    before = time.monotonic()
    await both.submit("one", replace(request_for_jobs, model="first"))
    assert [one.job_id for one in await first_job] == ["one"]
    await both.submit("two", replace(request_for_jobs, model="second"))
    assert [one.job_id for one in await second_job] == ["two"]
    assert time.monotonic() - before < 1.0


async def test_a_job_that_is_given_back_calls_another_worker(
    new_queue, redis: Redis, request_for_jobs: RestoreRequest
) -> None:
    leaving, waiting = new_queue(worker="leaving"), new_queue(worker="waiting")
    await submit(leaving, request_for_jobs, "one")
    held = await leaving.reserve(1)
    taking = asyncio.create_task(waiting.reserve(1, block=2.0))
    await wait_for_idle(redis, "waiting")
    before = time.monotonic()
    await leaving.release(held)
    assert [one.job_id for one in await taking] == ["one"]
    assert time.monotonic() - before < 1.0


async def test_a_worker_that_ends_waits_no_more_and_is_not_called(
    new_queue, redis: Redis, request_for_jobs: RestoreRequest
) -> None:
    ending, staying = new_queue(worker="ending"), new_queue(worker="staying")
    waiting = asyncio.create_task(ending.reserve(1, block=2.0))
    await wait_for_idle(redis, "ending")
    before = time.monotonic()
    await ending.stop_waiting()
    assert await waiting == []
    assert await ending.reserve(1, block=2.0) == []
    taking = asyncio.create_task(staying.reserve(1, block=2.0))
    await wait_for_idle(redis, "staying")
    await submit(staying, request_for_jobs, "one")
    assert [one.job_id for one in await taking] == ["one"]
    assert time.monotonic() - before < 1.0


async def test_of_workers_that_wait_nothing_is_left_in_the_end(queue: JobQueue, redis: Redis) -> None:
    assert await queue.reserve(1, block=0.1, models=["refstar"]) == []
    assert [key async for key in redis.scan_iter("*idle*")] == []
    cut_off = asyncio.create_task(queue.reserve(1, block=2.0, models=["refstar"]))
    await wait_for_idle(redis, "cut off")
    cut_off.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cut_off
    for key in [key async for key in redis.scan_iter("*idle*")]:
        assert 0 < await redis.pttl(key) <= 10_000


async def test_reserve_returns_empty_after_its_time(queue: JobQueue) -> None:
    before = time.monotonic()
    assert await queue.reserve(4, block=0.15) == []
    assert 0.14 < time.monotonic() - before < 1.8


async def test_a_reserve_cancelled_while_it_waits_takes_no_job_with_it(
    queue: JobQueue, redis: Redis, request_for_jobs: RestoreRequest
) -> None:
    waiting = asyncio.create_task(queue.reserve(1, block=2.0))
    while not (await redis.info("clients"))["blocked_clients"]:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await submit(queue, request_for_jobs, "one")
    assert [one.job_id for one in await queue.reserve(1, block=0)] == ["one"]


async def test_a_block_longer_than_the_clients_socket_timeout_is_no_error(
    redis_server: str, redis: Redis
) -> None:
    async with Redis.from_url(redis_server, socket_timeout=0.2, retry=None) as impatient:
        assert await JobQueue(impatient).reserve(1, block=2.0) == []


async def test_reserving_nothing_is_refused(queue: JobQueue) -> None:
    with pytest.raises(ValueError, match="cannot reserve 0 jobs"):
        await queue.reserve(0)


async def test_high_priority_comes_first_but_normal_jobs_do_not_starve(
    queue: JobQueue, request_for_jobs: RestoreRequest
) -> None:
    await submit(queue, request_for_jobs, *(f"normal-{i}" for i in range(4)))
    await submit(queue, request_for_jobs, *(f"high-{i}" for i in range(20)), priority=Priority.HIGH)
    order = [one.job_id for _ in range(8) for one in await queue.reserve(2, block=0)]
    assert order[:6] == [f"high-{i}" for i in range(6)]
    assert order[6:8] == ["normal-0", "normal-1"]
    assert order[8:] == [f"high-{i}" for i in range(6, 12)] + ["normal-2", "normal-3"]


async def test_a_batch_is_filled_from_the_other_line(
    queue: JobQueue, request_for_jobs: RestoreRequest
) -> None:
    await submit(queue, request_for_jobs, "normal-0", "normal-1", "normal-2")
    await submit(queue, request_for_jobs, "high-0", priority=Priority.HIGH)
    assert [one.job_id for one in await queue.reserve(3)] == ["high-0", "normal-0", "normal-1"]


async def test_a_job_runs_from_start_to_finish(
    queue: JobQueue, request_for_jobs: RestoreRequest, success: Outcome
) -> None:
    submitted = await queue.submit("one", request_for_jobs)
    [started] = await queue.start(await queue.reserve(1))
    assert started is not None
    assert (started.job_id, started.attempt, started.request) == ("one", 1, request_for_jobs)
    assert not started.reservation.retried

    running = await queue.get("one")
    assert (running.status, running.attempts) == (JobStatus.RUNNING, 1)
    assert running.started_at >= submitted.created_at

    assert await queue.finish([(started, success)]) == [True]
    job = await queue.get("one")
    assert job.status is JobStatus.SUCCEEDED
    assert (job.result, job.faces, job.timings) == (success.result, success.faces, success.timings)
    assert job.failure is None
    assert job.finished_at >= job.started_at == running.started_at
    assert job.expires_at == pytest.approx(job.finished_at + 3600, abs=0.1)
    assert submitted.version < running.version < job.version


async def test_a_batch_may_succeed_and_fail_in_one_call(
    queue: JobQueue, redis: Redis, request_for_jobs: RestoreRequest, success: Outcome, failure: Outcome
) -> None:
    await submit(queue, request_for_jobs, "a", "b", "c")
    a, b, c = await queue.start(await queue.reserve(3))
    await queue.cancel("b")
    assert await queue.finish([(a, failure), (b, success), (c, success)]) == [True, False, True]
    jobs = [await queue.get(name) for name in "abc"]
    assert [job.status for job in jobs] == [JobStatus.FAILED, JobStatus.CANCELED, JobStatus.SUCCEEDED]
    assert jobs[0].failure == failure.failure
    assert await redis.xlen("{refstar}:queue:normal") == 0
    assert (await redis.xpending("{refstar}:queue:normal", "workers"))["pending"] == 0


async def test_released_jobs_go_to_the_next_worker_together(
    new_queue, request_for_jobs: RestoreRequest
) -> None:
    first, second = new_queue(), new_queue()
    await submit(first, request_for_jobs, "a", "b", "c")
    held = await first.reserve(3)
    assert await second.reserve(3, block=0) == []
    await first.release(held)

    again = await second.reserve(3, block=0)
    assert [one.job_id for one in again] == ["a", "b", "c"]
    assert not any(one.retried for one in again)
    assert [one.attempt for one in await second.start(again)] == [1, 1, 1]


async def test_releasing_a_started_job_burns_no_attempt(
    new_queue, request_for_jobs: RestoreRequest, success: Outcome
) -> None:
    first, second = new_queue(), new_queue()
    await submit(first, request_for_jobs, "one")
    for _ in range(5):
        [released] = await first.start(await first.reserve(1, block=0))
        assert released.attempt == 1
        await first.release([released])
    job = await first.get("one")
    assert (job.status, job.attempts, job.started_at) == (JobStatus.QUEUED, 0, None)

    [started] = await second.start(await second.reserve(1, block=0))
    assert started.attempt == 1
    # The number of the attempt is the same, the right to finish is not.
    assert await first.finish([(released, success)]) == [False]
    assert (await first.get("one")).status is JobStatus.RUNNING
    assert await second.finish([(started, success)]) == [True]


async def test_an_id_submitted_again_after_its_deletion_is_another_job(
    new_queue, request_for_jobs: RestoreRequest, success: Outcome
) -> None:
    first, second = new_queue(), new_queue()
    await submit(first, request_for_jobs, "one")
    [old] = await first.start(await first.reserve(1))
    await submit(first, request_for_jobs, "two")
    held = await first.reserve(1)
    for name in ("one", "two"):
        await first.delete(name)
        await submit(first, request_for_jobs, name)

    assert await first.start(held) == [None]  # the entry of its former life
    begun = await second.start(await second.reserve(4))
    assert [one and one.job_id for one in begun] == ["one", "two"]
    assert await first.finish([(old, success)]) == [False]
    assert await second.finish([(one, success) for one in begun if one]) == [True, True]
    assert sum((await second.depth()).values()) == 0


async def test_releasing_again_does_not_take_the_job_from_its_new_worker(
    new_queue, request_for_jobs: RestoreRequest
) -> None:
    first, second = new_queue(), new_queue()
    await submit(first, request_for_jobs, "one")
    held = await first.reserve(1)
    await first.release(held)
    again = await second.reserve(1, block=0)
    await first.release(held)
    assert await first.reserve(1, block=0) == []
    assert await second.heartbeat(again) == []


async def test_calls_that_are_repeated_because_the_reply_was_lost_change_nothing(
    queue: JobQueue, request_for_jobs: RestoreRequest, success: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As redis-py does it: the very same call again."""
    send = queue._contact.run_all

    async def send_twice(script, calls):
        once = await send(script, calls)
        assert await send(script, calls) == once
        return once

    monkeypatch.setattr(queue._contact, "run_all", send_twice)
    await submit(queue, request_for_jobs, "good", "dropped")
    await queue.release(await queue.reserve(2))
    good, dropped = await queue.start(await queue.reserve(2))
    assert (good.attempt, dropped.attempt) == (1, 1)
    await queue.cancel("dropped")
    assert await queue.heartbeat([good, dropped]) == [dropped]
    assert await queue.finish([(good, success), (dropped, success)]) == [True, False]
    assert (await queue.get("good")).attempts == 1


async def test_survey_tells_waiting_from_held(queue: JobQueue, request_for_jobs: RestoreRequest) -> None:
    await submit(queue, request_for_jobs, "a", "b", "c")
    await queue.reserve(1)
    await asyncio.sleep(0.05)
    survey = await queue.survey()
    normal, high = survey[Priority.NORMAL], survey[Priority.HIGH]
    assert (normal.depth, normal.waiting, normal.held) == (3, 2, 1)
    assert 0.04 < normal.oldest < 5
    assert (high.depth, high.waiting, high.held, high.oldest) == (0, 0, 0, 0.0)


async def test_empty_batches_are_fine(queue: JobQueue) -> None:
    assert await queue.start([]) == []
    assert await queue.finish([]) == []
    assert await queue.heartbeat([]) == []
    await queue.release([])
