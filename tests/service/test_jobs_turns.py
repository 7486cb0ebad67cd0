"""Owners take turns: whoever queued much does not keep others waiting, whatever versions are mixed."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import pytest
from redis.asyncio import Redis
from refstar_service.jobs import Attempt, JobQueue, JobStatus, Outcome, Priority, RestoreRequest
from refstar_service.restoration.report import FaceAction

NewQueue = Callable[..., JobQueue]
LINE = "{refstar}:queue:normal"


async def submit(queue: JobQueue, request: RestoreRequest, *names: str, model: str = "refstar") -> None:
    """Each for the owner that its name begins with."""
    for name in names:
        await queue.submit(name, replace(request, model=model), owner=name.split("-")[0])


async def take(queue: JobQueue, count: int, models: Sequence[str] | None = None) -> list[str]:
    """As they come one by one."""
    taken = []
    for _ in range(count):
        taken += [one.job_id for one in await queue.reserve(1, block=0, models=models)]
    return taken


async def work(queue: JobQueue, outcome: Outcome) -> str:
    """One job from its reservation to this outcome."""
    [started] = await queue.start(await queue.reserve(1))
    assert isinstance(started, Attempt)
    assert await queue.finish([(started, outcome)]) == [True]
    return started.job_id


def owners(names: Sequence[str]) -> str:
    return "".join(name.split("-")[0] for name in names)


async def test_a_thousand_jobs_do_not_delay_somebody_else_s_one(
    new_queue: NewQueue, request_for_jobs: RestoreRequest
) -> None:
    queue = new_queue(limit=2000)
    await submit(queue, request_for_jobs, *(f"many-{i}" for i in range(1000)))
    assert len(await queue.reserve(4)) == 4
    await submit(queue, request_for_jobs, "one-1")
    assert await queue.position("one-1") == 0
    assert await take(queue, 2) == ["one-1", "many-4"]


async def test_owners_take_turns_and_a_batch_is_filled_from_all_of_them(
    queue: JobQueue, request_for_jobs: RestoreRequest
) -> None:
    names = [f"{owner}-{i}" for owner in "abc" for i in range(4)]
    await submit(queue, request_for_jobs, *names)
    batch = [one.job_id for one in await queue.reserve(8)]
    assert owners(batch) == "abcabcab"
    assert [name for name in batch if name.startswith("a")] == ["a-0", "a-1", "a-2"]
    assert owners(await take(queue, 5)) == "cabc"


async def test_faces_are_what_counts_once_they_are_known(
    queue: JobQueue, request_for_jobs: RestoreRequest, success: Outcome
) -> None:
    await submit(queue, request_for_jobs, *(f"crowd-{i}" for i in range(3)))
    await submit(queue, request_for_jobs, *(f"single-{i}" for i in range(9)))
    nine_faces = replace(success, faces=success.faces * 9)
    assert await work(queue, nine_faces) == "crowd-0"
    order = [await work(queue, success) for _ in range(9)]
    assert order == [f"single-{i}" for i in range(9)]
    assert await work(queue, success) == "crowd-1"


NINE = {"crowd-0": 9}


async def work_on(queue: JobQueue, request: RestoreRequest) -> Attempt:
    """The first of a crowd's jobs has begun, and nine singles wait beside the others."""
    await submit(queue, request, *(f"crowd-{i}" for i in range(3)))
    await submit(queue, request, *(f"single-{i}" for i in range(9)))
    [started] = await queue.start(await queue.reserve(1))
    assert started is not None
    return started


async def count_singles(queue: JobQueue) -> int:
    """How many of them come before the next one of the crowd."""
    order = owners(await take(queue, 11)).split("crowd")
    return order[0].count("single")


@pytest.mark.parametrize(
    ("action", "reason"),
    [
        (FaceAction.RESTORED, None),
        (FaceAction.KEPT, "already-sharp"),
        (FaceAction.FAILED, "not-finite"),
        (FaceAction.FAILED, "reference-stranger"),
    ],
)
async def test_a_face_counts_whatever_the_model_made_of_it(
    queue: JobQueue, request_for_jobs: RestoreRequest, success: Outcome, action: FaceAction, reason: str
) -> None:
    started = await work_on(queue, request_for_jobs)
    face = replace(success.faces[0], action=action, reason=reason)
    assert await queue.finish([(started, replace(success, faces=(face,) * 9))]) == [True]
    assert await count_singles(queue) == 9


async def test_a_face_that_did_not_come_to_the_model_does_not_count(
    queue: JobQueue, request_for_jobs: RestoreRequest, success: Outcome
) -> None:
    started = await work_on(queue, request_for_jobs)
    skipped = replace(success.faces[0], action=FaceAction.SKIPPED, reason="too-many-faces")
    unusable = replace(success.faces[0], action=FaceAction.FAILED, reason="points-unusable")
    faces = success.faces + (skipped, unusable) * 9
    assert await queue.finish([(started, replace(success, faces=faces))]) == [True]
    assert await count_singles(queue) == 1


async def test_the_faces_of_a_job_that_fails_count(
    queue: JobQueue, request_for_jobs: RestoreRequest, failure: Outcome
) -> None:
    started = await work_on(queue, request_for_jobs)
    assert await queue.finish([(started, failure)], faces=NINE) == [True]
    assert await count_singles(queue) == 9


@pytest.mark.parametrize("end", [JobQueue.cancel, JobQueue.delete])
@pytest.mark.parametrize("noticed", ["at its end", "before its end"])
async def test_the_faces_of_a_job_that_its_owner_ends_count_once(
    queue: JobQueue,
    request_for_jobs: RestoreRequest,
    success: Outcome,
    end: Callable[[JobQueue, str], Awaitable[object]],
    noticed: str,
) -> None:
    started = await work_on(queue, request_for_jobs)
    await end(queue, "crowd-0")
    for _ in range(2):  # the reply is lost, and the call comes again
        if noticed == "at its end":
            assert await queue.finish([(started, success)], faces=NINE) == [False]
        else:
            await queue.release([started], faces=NINE)
    assert await count_singles(queue) == 9


async def test_the_faces_of_a_job_that_is_given_back_count_when_it_ends(
    queue: JobQueue, request_for_jobs: RestoreRequest, success: Outcome
) -> None:
    started = await work_on(queue, request_for_jobs)
    await queue.release([started], faces=NINE)
    [again] = await queue.start(await queue.reserve(1))
    assert again is not None
    assert again.job_id == "crowd-0"
    assert await queue.finish([(again, success)]) == [True]
    assert await count_singles(queue) == 1


async def test_nobody_saves_up_turns(queue: JobQueue, request_for_jobs: RestoreRequest) -> None:
    await submit(queue, request_for_jobs, *(f"{owner}-{i}" for owner in "ab" for i in range(9)))
    assert owners(await take(queue, 8)) == "abababab"
    await submit(queue, request_for_jobs, *(f"c-{i}" for i in range(5)))
    assert sorted(owners(await take(queue, 9))) == list("aaabbbccc")


async def test_coming_again_and_again_is_worth_no_more_than_one_turn_each(
    queue: JobQueue, request_for_jobs: RestoreRequest
) -> None:
    await submit(queue, request_for_jobs, *(f"patient-{i}" for i in range(12)), "busy-0")
    taken = []
    for i in range(12):
        [name] = await take(queue, 1)
        taken.append(name)
        if name.startswith("busy"):
            await submit(queue, request_for_jobs, f"busy-{i + 1}")
    assert owners(taken).count("busy") == 6


async def test_what_is_for_another_model_keeps_its_turn(
    queue: JobQueue, request_for_jobs: RestoreRequest
) -> None:
    await submit(queue, request_for_jobs, *(f"a-{i}" for i in range(150)), model="theirs")
    await submit(queue, request_for_jobs, "a-ours", "b-ours", model="ours")
    await submit(queue, request_for_jobs, "b-theirs", model="theirs")
    assert [one.job_id for one in await queue.reserve(5, models=["ours"])] == ["a-ours", "b-ours"]
    assert await queue.reserve(5, block=0, models=["ours"]) == []
    assert await take(queue, 3, models=["theirs"]) == ["a-0", "b-theirs", "a-1"]


async def test_a_place_is_how_many_are_taken_before(
    queue: JobQueue, request_for_jobs: RestoreRequest
) -> None:
    await submit(queue, request_for_jobs, "a-0", "a-1", "a-2", "a-3")
    assert await take(queue, 2) == ["a-0", "a-1"]
    await submit(queue, request_for_jobs, "b-0", "c-0", "b-1", "b-2", "a-4", "c-1")
    await queue.submit("urgent", request_for_jobs, priority=Priority.HIGH, owner="d")
    waiting = ["urgent", "a-2", "a-3", "a-4", "b-0", "b-1", "b-2", "c-0", "c-1"]
    places = dict(zip(waiting, await queue.positions(waiting), strict=True))
    taken = await take(queue, 1)
    taken += [one.job_id for one in await queue.reserve(9)]
    assert sorted(places, key=lambda name: places[name] or 0) == taken
    assert sorted(place for place in places.values() if place is not None) == list(range(9))


async def forget_turns(redis: Redis) -> None:
    """As if gateways before the turns had queued what is there: in the streams alone."""
    await redis.delete(*[key for key in await redis.keys("{refstar}:queue:*") if key.count(b":") > 2])


async def test_what_older_gateways_queued_is_taken_in_turns_too(
    queue: JobQueue, redis: Redis, request_for_jobs: RestoreRequest
) -> None:
    await submit(queue, request_for_jobs, *(f"many-{i}" for i in range(120)), "one-0")
    await forget_turns(redis)
    assert await queue.position("one-0") == 120  # in the order of the stream, until a worker looks
    assert await take(queue, 3) == ["many-0", "one-0", "many-1"]
    assert len(await queue.reserve(500)) == 118


async def read_as_an_older_worker(redis: Redis, count: int) -> list[str]:
    await JobQueue(redis).setup()
    reply = await redis.xreadgroup("workers", "older", {LINE: ">"}, count=count)
    return [fields[b"job"].decode() for _, entries in reply for _, fields in entries]


async def test_what_an_older_worker_took_is_not_taken_again(
    queue: JobQueue, redis: Redis, request_for_jobs: RestoreRequest
) -> None:
    await submit(queue, request_for_jobs, "a-0", "a-1", "b-0", "b-1")
    assert await read_as_an_older_worker(redis, 3) == ["a-0", "a-1", "b-0"]
    assert await queue.position("a-0") is not None
    assert await take(queue, 3) == ["b-1"]


async def test_an_older_worker_that_takes_over_what_is_held_ends_it_once(
    new_queue: NewQueue, redis: Redis, request_for_jobs: RestoreRequest, success: Outcome
) -> None:
    queue, older = new_queue(), new_queue(worker="older")
    await submit(queue, request_for_jobs, "a-0")
    [held] = await queue.reserve(1)
    [ours] = await queue.start([held])
    assert ours is not None
    assert await read_as_an_older_worker(redis, 1) == ["a-0"]
    [theirs] = await older.start([replace(held, fence="theirs")])
    assert theirs is not None
    assert await queue.heartbeat([ours]) == [ours]
    assert await queue.finish([(ours, success)]) == [False]
    assert await older.finish([(theirs, success)]) == [True]
    job = await queue.get("a-0")
    assert job is not None
    assert job.status is JobStatus.SUCCEEDED
    assert await queue.depth() == {Priority.NORMAL: 0, Priority.HIGH: 0}


@pytest.mark.parametrize("count", [1, 40])
async def test_nothing_is_left_of_the_turns_when_nobody_waits(
    queue: JobQueue, redis: Redis, request_for_jobs: RestoreRequest, success: Outcome, count: int
) -> None:
    await submit(queue, request_for_jobs, *(f"{i}-0" for i in range(count)))
    for _ in range(count):
        await work(queue, replace(success, faces=success.faces * 3))
    assert await queue.reserve(1, block=0) == []
    left = set(await redis.keys("{refstar}:queue:normal*"))
    assert left == {LINE.encode(), f"{LINE}:state".encode()}


async def test_the_longest_wait_is_of_what_nobody_holds(
    queue: JobQueue, request_for_jobs: RestoreRequest
) -> None:
    await submit(queue, request_for_jobs, "a-0", "a-1", "b-0")
    assert await take(queue, 2) == ["a-0", "b-0"]
    status = (await queue.survey())[Priority.NORMAL]
    assert (status.depth, status.waiting, status.held) == (3, 1, 2)
    assert 0.0 < status.oldest < 5.0
