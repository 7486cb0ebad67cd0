"""Jobs that are canceled or deleted while they wait leave the queue at once: their places are free for others."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from redis.asyncio import Redis
from refstar_service.access.usage import Usage
from refstar_service.jobs import Job, JobQueue, JobStatus, Outcome, Priority, RestoreRequest

NewQueue = Callable[..., JobQueue]
End = Callable[[JobQueue, str], Awaitable[Job | None]]
LINE = "{refstar}:queue:normal"
every_end = pytest.mark.parametrize("end", [JobQueue.cancel, JobQueue.delete])


async def submit(queue: JobQueue, request: RestoreRequest, *names: str) -> None:
    """Each for the owner that its name begins with."""
    for name in names:
        await queue.submit(name, request, owner=name.split("-")[0])


async def take(queue: JobQueue, count: int) -> list[str]:
    """As they come one by one."""
    return [one.job_id for _ in range(count) for one in await queue.reserve(1, block=0)]


@every_end
async def test_one_key_that_ends_its_jobs_again_and_again_fills_the_queue_for_nobody(
    new_queue: NewQueue, redis: Redis, request_for_jobs: RestoreRequest, end: End
) -> None:
    queue, usage = new_queue(limit=3), Usage(redis)
    for number in range(10):
        name = f"many-{number}"
        assert await usage.hold("many", name, 2, 100.0)
        await submit(queue, request_for_jobs, name)
        await end(queue, name)
        if end is JobQueue.delete:
            await usage.let_go("many", name)
    assert sum((await queue.depth()).values()) == 0
    await queue.claim("one-1", owner="one", uploads=100, results=100)


@every_end
@pytest.mark.parametrize("priority", Priority)
async def test_what_was_ended_is_in_no_line_any_more(
    queue: JobQueue, redis: Redis, request_for_jobs: RestoreRequest, end: End, priority: Priority
) -> None:
    await queue.submit("a", request_for_jobs, priority=priority, owner="ada")
    await end(queue, "a")
    line = f"{{refstar}}:queue:{priority}"
    assert await redis.xlen(line) == 0
    assert await queue.reserve(1, block=0, spare=True) == []
    assert set(await redis.keys(f"{line}*")) == {line.encode(), f"{line}:state".encode()}


@every_end
async def test_who_ended_it_is_told_once_that_no_worker_will_meet_it(
    queue: JobQueue, request_for_jobs: RestoreRequest, end: End
) -> None:
    await submit(queue, request_for_jobs, "a")
    first, again = await end(queue, "a"), await end(queue, "a")
    assert first is not None
    assert first.withdrawn
    assert again is None or (again.status is JobStatus.CANCELED and not again.withdrawn)


@every_end
async def test_what_a_worker_holds_is_left_to_it(
    queue: JobQueue, redis: Redis, request_for_jobs: RestoreRequest, end: End
) -> None:
    await submit(queue, request_for_jobs, "a", "b")
    held = await queue.reserve(2)
    [b] = await queue.start(held[1:])
    for name in "ab":
        ended = await end(queue, name)
        assert ended is not None
        assert not ended.withdrawn
    assert await redis.xlen(LINE) == 2
    assert await queue.heartbeat([held[0], b]) == [held[0], b]
    assert await queue.start(held[:1]) == [None]
    assert await queue.release([b]) == [True]
    assert await redis.xlen(LINE) == 0


@every_end
async def test_the_next_of_its_owner_has_its_turn(
    queue: JobQueue, request_for_jobs: RestoreRequest, end: End
) -> None:
    await submit(queue, request_for_jobs, "a-0", "a-1", "a-2", "b-0", "b-1")
    await end(queue, "a-0")
    assert await queue.positions(["a-1", "b-0", "a-2", "b-1"]) == (0, 1, 2, 3)
    assert await take(queue, 5) == ["a-1", "b-0", "a-2", "b-1"]


@every_end
async def test_ending_all_and_coming_again_saves_no_turns(
    queue: JobQueue, request_for_jobs: RestoreRequest, success: Outcome, end: End
) -> None:
    await submit(queue, request_for_jobs, "a-0", "a-1", *(f"b-{number}" for number in range(9)))
    [started] = await queue.start(await queue.reserve(1))
    assert started is not None
    assert started.job_id == "a-0"
    await queue.finish([(started, replace(success, faces=success.faces * 4))])
    await end(queue, "a-1")
    await submit(queue, request_for_jobs, "a-2")
    assert await take(queue, 5) == ["b-0", "b-1", "b-2", "b-3", "a-2"]


@every_end
async def test_what_an_older_gateway_queued_leaves_too(
    queue: JobQueue, redis: Redis, request_for_jobs: RestoreRequest, end: End
) -> None:
    """It is in the stream alone, until a worker looks."""
    await submit(queue, request_for_jobs, "a", "b")
    await redis.delete(*await redis.keys(f"{LINE}:*"))
    ended = await end(queue, "a")
    assert ended is not None
    assert ended.withdrawn
    assert await take(queue, 2) == ["b"]
    assert await redis.xlen(LINE) == 1


@every_end
async def test_a_job_whose_record_says_nothing_of_its_entry_ends_all_the_same(
    queue: JobQueue, redis: Redis, request_for_jobs: RestoreRequest, end: End
) -> None:
    await submit(queue, request_for_jobs, "a")
    await redis.hdel("{refstar}:job:a", "entry", "priority", "owner")
    ended = await end(queue, "a")
    assert ended is not None
    assert not ended.withdrawn
    assert await queue.start(await queue.reserve(1, block=0)) == [None]
    assert await redis.xlen(LINE) == 0
