"""Enrollment in the worker: what is kept of a person, and what is said of one of whom nothing can be."""

import asyncio
from collections.abc import Sequence

import pytest
from people_shop import BLURRED, EMPTY, SHARP, TWO, NewHand, Shop
from pictures import file_of
from refstar_service.jobs import JobQueue
from refstar_service.people import PersonStatus, crop_key, features_key


async def test_the_record_says_what_was_seen_and_uploads_are_not_kept(shop: Shop, hand: NewHand) -> None:
    worker = hand("one")
    await shop.enroll("ada", [SHARP, BLURRED])
    assert (await shop.person("ada")).status is PersonStatus.PREPARING
    async with worker.working():
        await shop.ended("ada")
    person = await shop.person("ada")
    assert person.status is PersonStatus.READY
    good, bad = person.references
    assert good.report.used
    assert good.crop is not None
    assert (bad.report.reason, bad.crop) == ("reference-too-blurred", None)
    assert await shop.keys("*:blob:*") == {
        f"refstar:blob:{crop_key('ada', 1)}",
        f"refstar:blob:{features_key('ada', 1, worker.restorer.encoder)}",
    }
    for key in await shop.keys("*:blob:*"):
        assert 500 < await shop.redis.ttl(key) <= 600, "as long as the person"


@pytest.mark.parametrize(
    ("references", "code", "used"),
    [
        ([SHARP, EMPTY], "reference-without-face", [True, False]),
        ([file_of(TWO)], "several-faces", [False]),
        ([BLURRED], "reference-too-blurred", [False]),
        ([SHARP[:400]], "image-truncated", []),
    ],
)
async def test_a_person_of_whom_no_use_can_be_made_says_why(
    shop: Shop, hand: NewHand, references: list[bytes], code: str, used: list[bool]
) -> None:
    await shop.enroll("ada", references)
    async with hand("one").working():
        job = await shop.ended("ada")
    person = await shop.person("ada")
    assert person.status is PersonStatus.FAILED
    assert person.failure is not None
    assert person.failure == job.failure
    assert person.failure.code == code
    assert [one.report.used for one in person.references] == used
    assert await shop.keys("*:blob:*") == set()
    assert await shop.redis.ttl("{refstar}:person:ada") <= 60


async def test_a_person_who_is_deleted_while_being_enrolled_leaves_nothing(shop: Shop, hand: NewHand) -> None:
    worker = hand("one")
    loop = asyncio.get_running_loop()
    encode = worker.restorer.encode

    def delete_meanwhile(pictures: Sequence[object]) -> object:
        asyncio.run_coroutine_threadsafe(shop.people.delete("ada"), loop).result()
        return encode(pictures)  # type: ignore[arg-type]

    worker.restorer.encode = delete_meanwhile  # type: ignore[method-assign,assignment]
    await shop.enroll("ada", [SHARP])
    async with worker.working():
        job = await shop.ended("ada")
    assert job.failure is not None
    assert job.failure.code == "person-gone"
    assert await shop.keys("*:blob:*") == set()
    assert await shop.keys("*person*") == set()


async def test_an_enrollment_that_kills_its_workers_fails_the_person(shop: Shop, hand: NewHand) -> None:
    await shop.enroll("ada", [SHARP])
    for attempt in range(3):  # reserved, begun, and never heard of again
        dying = JobQueue(shop.redis, stale_after=0.01, worker=f"dying-{attempt}")
        await dying.start(await dying.reserve(1))
        await asyncio.sleep(0.02)
    await shop.redis.xautoclaim("{refstar}:queue:normal", "workers", "ghost", 0, "0-0", justid=True)
    worker = hand("four")
    worker.queue.stale_after = 0.05
    async with worker.working():
        job = await shop.ended("ada")
        assert job.failure is not None
        assert job.failure.code == "worker-lost"
        async with asyncio.timeout(10):
            while (await shop.person("ada")).status is PersonStatus.PREPARING:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    assert (await shop.person("ada")).failure == job.failure
