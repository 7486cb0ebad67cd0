"""Workers with different models on one queue: each gets the jobs that it can do, and leaves the rest to others."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from redis.asyncio import Redis
from refstar_service.jobs import EnrollRequest, JobQueue, Outcome, Reservation, RestoreRequest

NewQueue = Callable[..., JobQueue]
A, B, BOTH = frozenset({"a"}), frozenset({"b"}), frozenset({"a", "b"})


def names(reserved: Sequence[Reservation]) -> list[str]:
    return [one.job_id for one in reserved]


async def submit(queue: JobQueue, request: RestoreRequest, *jobs: str) -> None:
    """A job's model is the first letter of its name."""
    for job in jobs:
        await queue.submit(job, replace(request, model=job[0]))


async def test_a_worker_reserves_only_jobs_of_its_models(
    new_queue: NewQueue, request_for_jobs: RestoreRequest
) -> None:
    first, second = new_queue(worker="first"), new_queue(worker="second")
    await submit(first, request_for_jobs, "a1", "b1", "b2", "a2", "b3", "a3")
    assert names(await first.reserve(2, block=0, models=A)) == ["a1", "a2"]
    assert names(await first.reserve(9, block=0, models=A)) == ["a3"]
    assert names(await first.reserve(9, block=0, models=A)) == []
    assert names(await second.reserve(2, block=0, models=B)) == ["b1", "b2"]
    assert names(await second.reserve(9, block=0, models=BOTH)) == ["b3"]


async def test_a_job_that_was_left_to_others_is_done_once_and_no_attempt_is_lost(
    new_queue: NewQueue, request_for_jobs: RestoreRequest, success: Outcome
) -> None:
    first, second = new_queue(worker="first"), new_queue(worker="second")
    await submit(first, request_for_jobs, "b1")
    for _ in range(5):
        assert await first.reserve(1, block=0, models=A) == []
    [started] = await second.start(await second.reserve(1, block=0, models=B))
    assert started is not None
    assert started.attempt == 1
    assert await first.reserve(1, block=0, models=A) == []
    assert await second.finish([(started, success)]) == [True]
    assert sum((await first.depth()).values()) == 0


async def test_a_job_whose_model_nobody_has_comes_to_whoever_asks(
    new_queue: NewQueue, request_for_jobs: RestoreRequest
) -> None:
    queue = new_queue()
    await submit(queue, request_for_jobs, "b1", "c1")
    assert names(await queue.reserve(9, block=0, models=A, others=B)) == ["c1"]
    assert names(await queue.reserve(9, block=0, models=A, others=())) == ["b1"]


async def test_an_enrollment_is_for_every_worker(
    new_queue: NewQueue, request_for_jobs: RestoreRequest
) -> None:
    queue = new_queue()
    await queue.submit("somebody", EnrollRequest(request_for_jobs.references))
    assert names(await queue.reserve(1, block=0, models=A)) == ["somebody"]


async def test_the_job_of_a_dead_worker_goes_to_one_that_has_its_model(
    new_queue: NewQueue, redis: Redis, request_for_jobs: RestoreRequest
) -> None:
    dead, other, twin = (new_queue(worker=name, stale_after=0.01) for name in ("dead", "other", "twin"))
    await submit(dead, request_for_jobs, "b1")
    await dead.start(await dead.reserve(1, block=0, models=B))
    assert await other.reserve(1, block=0.1, models=A) == []
    [again] = await twin.reserve(1, block=0.1, models=B)
    assert again.retried
