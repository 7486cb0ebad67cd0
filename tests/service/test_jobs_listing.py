"""Lists of an owner's jobs, newest first, page by page; and how long the index behind them gets."""

import asyncio
import random
from collections.abc import Callable

import pytest
from redis.asyncio import Redis
from refstar_service.jobs import (
    EnrollRequest,
    JobPage,
    JobQueue,
    JobStatus,
    Outcome,
    Priority,
    RestoreRequest,
)


def names(page: JobPage) -> list[str]:
    return [job.id for job in page.jobs]


async def test_the_newest_comes_first_and_pages_go_on_where_the_last_one_ended(
    queue: JobQueue, request_for_jobs: RestoreRequest
) -> None:
    for number in range(7):
        await queue.submit(f"job{number}", request_for_jobs, priority=list(Priority)[number % 2])
    first = await queue.jobs_of("", limit=3)
    assert names(first) == ["job6", "job5", "job4"]
    assert first.jobs[0] == await queue.get("job6")
    await queue.submit("later", request_for_jobs)  # moves nothing that is still to be shown
    second = await queue.jobs_of("", limit=3, after=first.rest)
    assert names(second) == ["job3", "job2", "job1"]
    last = await queue.jobs_of("", limit=3, after=second.rest)
    assert (names(last), last.rest) == (["job0"], None)
    assert names(await queue.jobs_of("", limit=100)) == [
        "later",
        *(f"job{number}" for number in range(6, -1, -1)),
    ]


async def test_everybody_sees_only_their_own(queue: JobQueue, request_for_jobs: RestoreRequest) -> None:
    for name, owner in (("a1", "a"), ("b1", "b"), ("a2", "a"), ("open", "")):
        await queue.submit(name, request_for_jobs, owner=owner)
    assert names(await queue.jobs_of("a", limit=9)) == ["a2", "a1"]
    assert names(await queue.jobs_of("", limit=9)) == ["open"]
    assert await queue.jobs_of("nobody", limit=9) == JobPage((), None)


async def test_a_list_may_be_of_one_status(
    queue: JobQueue, request_for_jobs: RestoreRequest, success: Outcome
) -> None:
    for number in range(6):
        await queue.submit(f"job{number}", request_for_jobs)
    for started in await queue.start(await queue.reserve(2)):
        assert started is not None
        await queue.finish([(started, success)])
    await queue.cancel("job5")
    assert names(await queue.jobs_of("", limit=9, status=JobStatus.SUCCEEDED)) == ["job1", "job0"]
    assert names(await queue.jobs_of("", limit=9, status=JobStatus.CANCELED)) == ["job5"]
    page = await queue.jobs_of("", limit=1, status=JobStatus.QUEUED)
    assert names(page) == ["job4"]
    page = await queue.jobs_of("", limit=5, status=JobStatus.QUEUED, after=page.rest)
    assert (names(page), page.rest) == (["job3", "job2"], None)


async def test_a_search_for_what_is_rare_ends_and_says_where_to_go_on(
    queue: JobQueue, redis: Redis, request_for_jobs: RestoreRequest
) -> None:
    queue.limit = 3000
    await queue.submit("rare", request_for_jobs)
    await queue.cancel("rare")
    fields = await redis.hgetall("{refstar}:job:rare") | {b"status": b"queued"}
    async with redis.pipeline(transaction=False) as pipe:
        for number in range(1500):
            pipe.hset(f"{{refstar}}:job:{number}", mapping=fields)
            pipe.zadd("{refstar}:jobs:", {str(number): 9e15 + number})
        await pipe.execute()
    page = await queue.jobs_of("", limit=5, status=JobStatus.CANCELED)
    assert page.jobs == ()
    assert page.rest is not None
    assert names(await queue.jobs_of("", limit=5, status=JobStatus.CANCELED, after=page.rest)) == ["rare"]


async def test_jobs_of_the_same_microsecond_are_all_listed(
    queue: JobQueue, redis: Redis, request_for_jobs: RestoreRequest
) -> None:
    for name in "abcd":
        await queue.submit(name, request_for_jobs)
        await redis.zadd("{refstar}:jobs:", {name: 1_763_000_000_000_000})
    seen, after = [], None
    while page := await queue.jobs_of("", limit=1, after=after):
        seen += names(page)
        after = page.rest
        if after is None:
            break
    assert seen == ["d", "c", "b", "a"]


async def test_what_was_deleted_is_not_listed_and_leaves_no_trace(
    queue: JobQueue, redis: Redis, request_for_jobs: RestoreRequest
) -> None:
    await queue.submit("one", request_for_jobs, owner="a")
    await queue.submit("two", request_for_jobs, owner="a")
    await queue.delete("one")
    assert names(await queue.jobs_of("a", limit=9)) == ["two"]
    assert await redis.zcard("{refstar}:jobs:a") == 1


async def test_an_expired_job_is_listed_until_it_is_forgotten(
    new_queue: Callable[..., JobQueue], redis: Redis, request_for_jobs: RestoreRequest
) -> None:
    queue = new_queue(result_ttl=0.05, tombstone_ttl=0.2)
    await queue.submit("one", request_for_jobs)
    await queue.cancel("one")
    await asyncio.sleep(0.1)
    [job] = (await queue.jobs_of("", limit=9)).jobs
    assert job.status is JobStatus.EXPIRED
    await asyncio.sleep(0.25)
    assert await queue.jobs_of("", limit=9) == JobPage((), None)
    assert await redis.zcard("{refstar}:jobs:") == 0


async def test_the_index_does_not_outgrow_the_jobs_that_are_remembered(
    new_queue: Callable[..., JobQueue], redis: Redis, request_for_jobs: RestoreRequest
) -> None:
    queue = new_queue(result_ttl=0.001, tombstone_ttl=0.001)
    for number in range(50):
        await queue.submit(f"{number}", request_for_jobs)
        await queue.cancel(f"{number}")
        await asyncio.sleep(0.004)
    assert await redis.zcard("{refstar}:jobs:") <= 3
    assert 0 < await redis.pttl("{refstar}:jobs:") <= 2 * 86_400_000 + 2


async def test_enrollments_are_jobs_that_are_not_listed(
    queue: JobQueue, request_for_jobs: RestoreRequest
) -> None:
    await queue.submit("one", EnrollRequest(request_for_jobs.references))
    assert await queue.jobs_of("", limit=9) == JobPage((), None)


async def test_places_stay_right_while_jobs_come_and_go(
    queue: JobQueue, request_for_jobs: RestoreRequest, success: Outcome
) -> None:
    """Against a plain count: finished out of order, given back, canceled while they wait, in both lines."""
    dice, waiting, held, number = random.Random(5), [], [], 0
    for _ in range(60):
        match dice.choice(["submit", "submit", "take", "finish", "release", "cancel"]):
            case "submit":
                priority = dice.choice([one for one in Priority if one.counted])
                await queue.submit(f"{number}", request_for_jobs, priority=priority)
                waiting.append((priority is Priority.NORMAL, number))
                number += 1
            case "take":
                taken = await queue.reserve(1, block=0.001)
                waiting = [one for one in waiting if str(one[1]) not in {held.job_id for held in taken}]
                held += [one for one in await queue.start(taken) if one is not None]
            case "finish" if held:
                await queue.finish([(held.pop(dice.randrange(len(held))), success)])
            case "release" if held:
                await queue.release([held.pop()])
            case "cancel" if waiting:
                await queue.cancel(f"{dice.choice(waiting)[1]}")
        asked = sorted(waiting)
        states = [await queue.get(f"{name}") for _, name in asked]
        expected = [
            place if job is not None and job.status is JobStatus.QUEUED else None
            for place, job in enumerate(states)
        ]
        assert list(await queue.positions([f"{name}" for _, name in asked])) == expected


async def test_positions_of_several_jobs_are_those_of_each(
    queue: JobQueue, request_for_jobs: RestoreRequest
) -> None:
    for number in range(6):
        await queue.submit(f"{number}", request_for_jobs, priority=list(Priority)[number % 2])
    await queue.start(await queue.reserve(2))
    asked = [str(number) for number in range(6)]
    together = await queue.positions([*asked, "nobody"])
    assert together == (*[await queue.position(one) for one in asked], None)
    assert together == (1, None, 2, None, 3, 0, None)
    assert await queue.positions([]) == ()


@pytest.mark.parametrize("limit", [1, 2])
async def test_a_full_last_page_may_be_followed_by_an_empty_one(
    queue: JobQueue, request_for_jobs: RestoreRequest, limit: int
) -> None:
    for name in "ab":
        await queue.submit(name, request_for_jobs)
    page = await queue.jobs_of("", limit=limit)
    seen = names(page)
    while page.rest is not None:
        page = await queue.jobs_of("", limit=limit, after=page.rest)
        seen += names(page)
    assert seen == ["b", "a"]
