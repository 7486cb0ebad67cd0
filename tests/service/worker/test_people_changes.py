"""References added to and removed from a person in the worker: a change is made whole or not at all."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest
from people_shop import BLURRED, EMPTY, OTHER, SHARP, SIZE, NewHand, Shop
from refstar_service.jobs import JobQueue, JobStatus
from refstar_service.people import Amendment, PersonStatus, crop_key, features_key
from refstar_service.restoration.steps import Model


async def test_a_person_is_given_further_references_in_the_place_of_others(shop: Shop, hand: NewHand) -> None:
    worker = hand("one")
    await shop.enroll("ada", [SHARP, OTHER])
    async with worker.working():
        await shop.ended("ada")
        await shop.change("ada", "c1", [BLURRED, OTHER], remove=[1])
        assert (await shop.ended("c1")).status is JobStatus.SUCCEEDED
        person = await shop.person("ada")
        assert [(one.report.index, one.report.used) for one in person.references] == [
            (2, True),
            (3, False),
            (4, True),
        ]
        assert (person.change, person.status) == ("", PersonStatus.READY)
        before = dict(worker.work)
        await shop.restore("job", "ada")
        job = await shop.ended("job")
        assert worker.work == before, "it remembers what it added"
    assert [(one.name, one.used) for one in job.references] == [
        ("1.png", True),
        ("more-0.png", False),
        ("more-1.png", True),
    ]
    encoder = worker.restorer.encoder
    wanted = [crop_key("ada", 2), crop_key("ada", 4), *(features_key("ada", n, encoder) for n in (2, 4))]
    assert await shop.keys("*:blob:people*") == {f"refstar:blob:{key}" for key in wanted}
    assert await shop.redis.hexists("{refstar}:stored", "c1") == 0


@pytest.mark.parametrize(
    ("references", "code", "says"),
    [
        ([SHARP, EMPTY], "reference-without-face", "reference 3"),
        ([BLURRED], "reference-too-blurred", "reference 2 (reference-too-blurred)"),
    ],
)
async def test_a_change_that_cannot_be_made_leaves_the_person_as_they_were(
    shop: Shop, hand: NewHand, references: list[bytes], code: str, says: str
) -> None:
    await shop.enroll("ada", [SHARP])
    async with hand("one").working():
        await shop.ended("ada")
        before, blobs = await shop.person("ada"), await shop.keys("*:blob:*")
        await shop.change("ada", "c1", references, remove=[1])
        assert (await shop.ended("c1")).status is JobStatus.FAILED
        after = await shop.person("ada")
        assert after.failure is not None
        assert after.failure.code == code
        assert says in after.failure.detail
        assert replace(after, failure=None, numbered=1) == before
        assert await shop.keys("*:blob:*") == blobs
        await shop.restore("job", "ada")
        assert (await shop.ended("job")).status is JobStatus.SUCCEEDED


async def test_a_change_of_somebody_who_is_deleted_meanwhile_leaves_nothing(
    shop: Shop, hand: NewHand
) -> None:
    await shop.enroll("ada", [SHARP])
    async with hand("one").working():
        await shop.ended("ada")
    await shop.change("ada", "c1", [OTHER])
    record = await shop.people.delete("ada")
    assert record is not None
    await shop.blobs.delete(*record.blob_keys)
    async with hand("two").working():
        job = await shop.ended("c1")
    assert job.failure is not None
    assert job.failure.code == "person-gone"
    assert await shop.keys("*:blob:*") == set()
    assert await shop.people.get("ada") is None
    assert await shop.redis.exists("{refstar}:stored") == 0


async def test_a_change_whose_workers_were_lost_is_over(shop: Shop, hand: NewHand) -> None:
    await shop.enroll("ada", [SHARP])
    async with hand("one").working():
        await shop.ended("ada")
    await shop.change("ada", "c1", [OTHER])
    for _ in range(shop.queue.max_attempts):
        hasty = JobQueue(shop.redis, stale_after=0.001)
        await hasty.start(await hasty.reserve(1))
        await asyncio.sleep(0.01)
    hasty = JobQueue(shop.redis, stale_after=0.001)
    [reserved] = await hasty.reserve(1)
    await hasty.release([reserved])
    async with hand("two").working():
        job = await shop.ended("c1")
        async with asyncio.timeout(5):
            while (await shop.person("ada")).change:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    assert job.failure is not None
    assert (await shop.person("ada")).failure == job.failure


async def test_a_removed_reference_is_used_no_more_and_forgotten(shop: Shop, hand: NewHand) -> None:
    worker = hand("one")
    await shop.enroll("ada", [SHARP, OTHER])
    async with worker.working():
        await shop.ended("ada")
        await shop.restore("before", "ada")
        request = (await shop.ended("before")).request
        await shop.remove("ada", 1)
        image = await shop.store("late/0", SHARP, "photo.png")
        await shop.queue.submit("late", replace(request, image=image))
        job = await shop.ended("late")
        assert [(one.used, one.reason) for one in job.references] == [
            (False, "reference-removed"),
            (True, None),
        ]
        assert len(worker.restorer.known) == 2
        await worker.recall.forget_deleted([worker.restorer])
        assert len(worker.restorer.known) == 1, "nor does memory keep it"
        await shop.people.amend("ada", lambda now: Amendment(remove=frozenset({2})))
        image = await shop.store("last/0", SHARP, "photo.png")
        await shop.queue.submit("last", replace(request, image=image))
        failure = (await shop.ended("last")).failure
    assert failure is not None
    assert failure.code == "person-gone"


async def test_features_of_a_removed_reference_do_not_come_back(shop: Shop, hand: NewHand) -> None:
    await shop.enroll("ada", [SHARP, OTHER])
    async with hand("one").working():
        await shop.ended("ada")
    newer = hand("two")
    newer.restorer.encoder = "inverting-2"
    recalled = await newer.recall.references([(await shop.person("ada")).stored], Model(newer.restorer, SIZE))
    newer.restorer.known |= {one.key: {"features": np.zeros(1)} for one in recalled}
    await shop.remove("ada", 1)
    await newer.recall.share([(await shop.person("ada")).stored], recalled, newer.restorer)
    assert {key for key in await shop.keys("*features*") if "inverting-2" in key} == {
        f"refstar:blob:{features_key('ada', 2, 'inverting-2')}"
    }
