"""Whose pictures take how much: shares, quotas, what makes room, and what is said to whoever finds none."""

import asyncio
from collections.abc import Callable, Sequence

import pytest
from redis.asyncio import Redis
from refstar_service.blobs.ledger import Ledger, StoredBytes
from refstar_service.faces.select import FaceMode
from refstar_service.gateway.requests.enrollments import limit_people
from refstar_service.gateway.requests.promised_bytes import estimate_result_bytes
from refstar_service.gateway.requests.shortage import report_misfit, report_shortage
from refstar_service.images import ImageInfo
from refstar_service.jobs import (
    Claim,
    EnrollRequest,
    JobQueue,
    JobStatus,
    JobTooLargeError,
    Limit,
    Outcome,
    PersonReference,
    QueueFullError,
    RestoreRequest,
    StoredFile,
)
from refstar_service.people import BYTES_A_REFERENCE, PeopleStore
from refstar_service.restoration.knobs import Knobs
from refstar_service.restoration.rules import ResultPlan
from refstar_service.settings import Settings

NewQueue = Callable[..., JobQueue]
RESULT = 2 * 1234  # bytes of a result with its selection picture, as the outcome of these tests has it


async def restore(queue: JobQueue, request: RestoreRequest, outcome: Outcome, *names: str) -> None:
    """From claim to outcome, one after the other."""
    for name in names:
        claim = await queue.claim(name, uploads=10, results=RESULT)
        await queue.submit(name, request, claim=claim)
        [started] = await queue.start(await queue.reserve(1))
        assert started is not None
        await queue.finish([(started, outcome)])


async def statuses(queue: JobQueue, names: Sequence[str]) -> list[JobStatus]:
    found = [await queue.get(name) for name in names]
    return [job.status for job in found if job is not None]


async def test_a_key_holds_as_much_as_is_left_so_that_the_next_one_finds_room(new_queue: NewQueue) -> None:
    queue = new_queue(byte_limit=1000)
    await queue.claim("a1", owner="a", uploads=500, results=0)
    with pytest.raises(QueueFullError) as refusal:
        await queue.claim("a2", owner="a", uploads=1, results=0)
    assert (refusal.value.what, refusal.value.depth, refusal.value.own) == (Limit.SHARE, 500, 500)
    await queue.claim("b1", owner="b", uploads=250, results=0)
    with pytest.raises(QueueFullError, match="share"):
        await queue.claim("b2", owner="b", uploads=1, results=0)
    await queue.claim("c1", owner="c", uploads=125, results=0)


async def test_in_open_mode_all_is_one_persons(new_queue: NewQueue) -> None:
    queue = new_queue(byte_limit=1000)
    await queue.claim("one", uploads=1000, results=0)
    with pytest.raises(QueueFullError) as refusal:
        await queue.claim("two", uploads=1, results=0)
    assert (refusal.value.what, refusal.value.own) == (Limit.BYTES, 1000)


@pytest.mark.parametrize(
    ("owner", "asked", "reached", "limit"),
    [("", 1001, "bytes", 1000), ("a", 301, "quota", 300), ("b", 301, "quota", 300)],
)
async def test_what_never_fits_is_refused_for_good(
    new_queue: NewQueue, redis: Redis, owner: str, asked: int, reached: str, limit: int
) -> None:
    queue = new_queue(byte_limit=1000, owner_byte_limit=300)
    with pytest.raises(JobTooLargeError) as refusal:
        await queue.claim("never", owner=owner, uploads=asked, results=0)
    problem = report_misfit(refusal.value)
    assert problem.type.slug == "request-too-large"
    assert "Retry-After" not in problem.headers
    assert (problem.extensions["reached"], problem.extensions["limit"]) == (reached, limit)
    assert await redis.keys("*never*") == []


async def test_half_of_the_store_is_the_most_for_one_job_of_a_key(new_queue: NewQueue) -> None:
    queue = new_queue(byte_limit=1000)
    with pytest.raises(JobTooLargeError) as refusal:
        await queue.claim("one", owner="a", uploads=501, results=0)
    assert (refusal.value.what, refusal.value.limit) == (Limit.SHARE, 500)
    await queue.claim("two", owner="a", uploads=500, results=0)


async def test_a_quota_counts_what_one_key_holds(new_queue: NewQueue) -> None:
    queue = new_queue(byte_limit=10_000, owner_byte_limit=300)
    await queue.claim("a1", owner="a", uploads=200, results=100)
    with pytest.raises(QueueFullError) as refusal:
        await queue.claim("a2", owner="a", uploads=1, results=0)
    assert (refusal.value.what, refusal.value.depth, refusal.value.limit) == (Limit.QUOTA, 300, 300)
    await queue.claim("b1", owner="b", uploads=300, results=0)


async def test_the_result_that_was_fetched_longest_ago_makes_room_and_no_other(
    new_queue: NewQueue, request_for_jobs: RestoreRequest, success: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("refstar_service.jobs.client_side.FETCHED_STAYS", 0)
    queue = new_queue(byte_limit=4 * RESULT)
    names = ["unfetched", "fetched-last", "fetched-first"]
    await restore(queue, request_for_jobs, success, *names)
    for name in reversed(names[1:]):
        await queue.note_fetched(name)
        await asyncio.sleep(0.01)
    claim = await queue.claim("next", uploads=RESULT, results=100)
    assert success.result is not None
    assert claim.evicted == tuple(file.key for file in success.result.files)
    assert await statuses(queue, names) == [JobStatus.SUCCEEDED, JobStatus.SUCCEEDED, JobStatus.EXPIRED]
    with pytest.raises(QueueFullError) as refusal:
        await queue.claim("huge", uploads=3 * RESULT, results=0)
    assert len(refusal.value.evicted) == 2, "what was fetched went, what nobody has fetched stays"
    assert await statuses(queue, names) == [JobStatus.SUCCEEDED, JobStatus.EXPIRED, JobStatus.EXPIRED]


async def test_a_result_stays_for_a_while_after_it_was_fetched(
    new_queue: NewQueue, request_for_jobs: RestoreRequest, success: Outcome
) -> None:
    queue = new_queue(byte_limit=2 * RESULT + 10)
    await restore(queue, request_for_jobs, success, "one")
    await queue.note_fetched("one")
    with pytest.raises(QueueFullError):
        await queue.claim("next", uploads=2 * RESULT, results=0)
    assert await statuses(queue, ["one"]) == [JobStatus.SUCCEEDED]


async def test_what_is_said_is_when_room_comes_back(
    new_queue: NewQueue, request_for_jobs: RestoreRequest, success: Outcome
) -> None:
    queue = new_queue(byte_limit=3 * RESULT, result_ttl=1000.0)
    await restore(queue, request_for_jobs, success, "one", "two")
    with pytest.raises(QueueFullError) as refusal:
        await queue.claim("next", uploads=2 * RESULT, results=0)
    assert 990 <= refusal.value.seconds <= 1000
    problem = report_shortage(refusal.value)
    assert problem.type.slug == "storage-full"
    assert problem.headers["Retry-After"] == str(refusal.value.seconds)
    assert "delete" in problem.detail
    assert problem.extensions == {
        "reached": "bytes",
        "setting": "REFSTAR_STORAGE_BYTES",
        "used": 2 * RESULT,
        "limit": 3 * RESULT,
        "used_by_you": 2 * RESULT,
    }


async def test_the_sums_say_of_what_kind_the_bytes_are(
    new_queue: NewQueue, request_for_jobs: RestoreRequest, success: Outcome, redis: Redis
) -> None:
    queue, ledger, people = new_queue(result_ttl=0.2), Ledger(redis), PeopleStore(redis)
    await people.add("p", owner="ada", name="", request_id="", limit=9, ttl=60)
    good, bad = success.references
    crop = StoredFile("p/0", "ab" * 32, "image/png", 1000, "crop.png", 4096)
    await people.ready("p", [PersonReference(good, crop), PersonReference(bad, None)], [])
    await restore(queue, request_for_jobs, success, "ended")
    claim = await queue.claim("coming", uploads=10, results=5)
    assert (await ledger.totals()).promised == 15
    await queue.submit("coming", request_for_jobs, claim=claim)
    held = StoredBytes(uploads=10, results=RESULT, people=BYTES_A_REFERENCE, promised=5)
    assert await ledger.totals() == held
    await asyncio.sleep(0.25)
    await people.delete("p")
    assert await ledger.totals() == StoredBytes(uploads=10, results=0, people=0, promised=5)


async def test_what_an_older_version_held_is_let_go_like_the_rest(new_queue: NewQueue, redis: Redis) -> None:
    queue = new_queue(byte_limit=100)
    await queue.claim("old", owner="ada", uploads=50, results=0)
    await redis.hset("{refstar}:stored", "old", "50 0 ada")
    await redis.hdel("{refstar}:stored:totals", "uploads")
    await queue.disclaim(Claim("old", 50, 0))
    await queue.claim("new", uploads=100, results=0)
    assert await Ledger(redis).totals() == StoredBytes(uploads=0, results=0, people=0, promised=100)


async def test_what_has_expired_takes_no_room(
    new_queue: NewQueue, request_for_jobs: RestoreRequest, success: Outcome
) -> None:
    queue = new_queue(byte_limit=2 * RESULT + 10, result_ttl=0.1)
    await restore(queue, request_for_jobs, success, "one", "two")
    await asyncio.sleep(0.15)
    await queue.claim("next", uploads=2 * RESULT, results=0)


async def test_deleting_makes_room_at_once(
    new_queue: NewQueue, request_for_jobs: RestoreRequest, success: Outcome
) -> None:
    queue = new_queue(byte_limit=2 * RESULT + 10)
    await restore(queue, request_for_jobs, success, "one", "two")
    with pytest.raises(QueueFullError):
        await queue.claim("next", uploads=RESULT, results=0)
    await queue.delete("one")
    await queue.claim("next", uploads=RESULT, results=0)


async def test_a_person_takes_room_until_they_are_deleted(
    new_queue: NewQueue, redis: Redis, success: Outcome
) -> None:
    queue, people = new_queue(byte_limit=3 * BYTES_A_REFERENCE), PeopleStore(redis)
    crop = StoredFile("people/p/crop-1", "cd" * 32, "image/png", 99, "a.png")
    await people.add("p", owner="", name="Ada", request_id="r", limit=9, ttl=600)
    claim = await queue.claim("p", uploads=10, results=2 * BYTES_A_REFERENCE)
    await queue.submit("p", EnrollRequest((crop,)), claim=claim)
    [started] = await queue.start(await queue.reserve(1))
    assert started is not None
    good, bad = success.references
    assert await people.ready("p", [PersonReference(good, crop), PersonReference(bad, None)], ["e"])
    await queue.finish([(started, success)])
    assert await redis.hget("{refstar}:stored:totals", "bytes") == str(BYTES_A_REFERENCE).encode()
    with pytest.raises(QueueFullError):
        await queue.claim("next", uploads=2 * BYTES_A_REFERENCE + 1, results=0)
    await people.delete("p")
    await queue.claim("next", uploads=2 * BYTES_A_REFERENCE + 1, results=0)


async def test_what_nobody_settled_makes_room_for_others(
    new_queue: NewQueue, redis: Redis, request_for_jobs: RestoreRequest
) -> None:
    queue = new_queue(byte_limit=1000)
    await queue.submit("old", request_for_jobs, claim=await queue.claim("old", uploads=500, results=500))
    await redis.hset("{refstar}:job:old", "status", "succeeded")  # by a worker that knows nothing of this
    await queue.claim("next", uploads=1000, results=0)


async def test_an_album_of_500_photographs_goes_through_with_the_defaults(new_queue: NewQueue) -> None:
    settings = Settings(_env_file=None)  # type: ignore[call-arg]
    assert settings.store == "directory"
    queue = new_queue(byte_limit=settings.storage_limit, limit=settings.queue_limit)
    photograph = StoredFile("k", "ab" * 32, "image/jpeg", 6_000_000, "a.jpg", 12_000_000)
    request = RestoreRequest(photograph, (photograph,), "refstar", Knobs(FaceMode.ALL))
    info = ImageInfo("jpeg", "image/jpeg", 4000, 3000, "RGB", 1, 1, has_alpha=False, bits=8)
    results = estimate_result_bytes(request, info, ResultPlan("jpeg", 4000, 3000))
    for number in range(500):  # all at once, before a single one is done
        await queue.claim(f"photograph-{number}", uploads=6_000_000, results=results)


def test_as_many_people_are_admitted_as_fit_beside_restorations() -> None:
    assert limit_people(Settings(storage_bytes=16 * 2**30)) == 256
    assert limit_people(Settings(storage_bytes=16 * 2**30, max_people=9)) == 9
    assert limit_people(Settings(blobs="redis", embedded_redis_memory_mb=512)) == 6
