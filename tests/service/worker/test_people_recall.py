"""Stored people in restorations: enrolled once, recalled by every worker, forgotten when they are deleted."""

from dataclasses import replace

import cv2
import pytest
from people_shop import BLURRED, FACE, OTHER, SHARP, Hand, NewHand, Shop
from pictures import file_of
from refstar_service.engine.feature_cache import FeatureCache
from refstar_service.engine.manifest import load_manifest
from refstar_service.engine.restorer import Restorer
from refstar_service.jobs import JobStatus
from refstar_service.people import features_key
from refstar_service.settings import Settings


async def test_an_enrolled_person_costs_no_reference_work_again_at_no_worker(
    shop: Shop, hand: NewHand
) -> None:
    first, second = hand("one"), hand("two")
    await shop.enroll("ada", [SHARP, OTHER])
    async with first.working():
        assert (await shop.ended("ada")).status is JobStatus.SUCCEEDED
        assert first.work == {"decode": 2, "detect": 2, "encode": 2}
        await shop.restore("job1", "ada")
        assert (await shop.ended("job1")).status is JobStatus.SUCCEEDED
        assert first.work == {"decode": 2, "detect": 2, "encode": 2}, "it remembers what it enrolled"
    async with second.working():
        await shop.restore("job2", "ada")
        job2 = await shop.ended("job2")
        assert second.work == {"fetch": 2}, "another worker takes the features from the blobs"
        await shop.restore("job3", "ada")
        job3 = await shop.ended("job3")
        assert second.work == {"fetch": 2}, "and that only once"
    assert second.restorer.encoded == []
    assert second.detector.asked == [(512, 512), (512, 512)], "the two photographs themselves"
    for job in (job2, job3):
        assert [(one.index, one.name, one.used) for one in job.references] == [
            (1, "0.png", True),
            (2, "1.png", True),
        ]
        assert len(job.faces[0].selected) == 2


async def test_a_person_with_surplus_references_is_shown_by_the_sharpest(
    shop: Shop,
) -> None:
    worker = Hand(shop, "one", max_references=1)
    softer = file_of(cv2.GaussianBlur(FACE, (0, 0), 0.7))
    await shop.enroll("ada", [softer, SHARP, softer])
    async with worker.working():
        await shop.ended("ada")
        await shop.restore("job", "ada")
        job = await shop.ended("job")
    assert job.status is JobStatus.SUCCEEDED
    assert [(one.used, one.reason) for one in job.references] == [
        (False, "reference-surplus"),
        (True, None),
        (False, "reference-surplus"),
    ]
    assert [len(face.selected) for face in job.faces] == [3]
    assert [one.report.used for one in (await shop.person("ada")).references] == [True] * 3


async def test_a_person_gives_the_very_result_that_the_references_themselves_give(shop: Shop) -> None:
    manifest = load_manifest(Settings().models_dir / "refstar")
    restorer = Restorer(manifest)
    await shop.enroll("ada", [OTHER])
    first, second = Hand(shop, "one", restorer), Hand(shop, "two", restorer)
    async with first.working():
        await shop.restore("sent", None, [OTHER])
        sent = await shop.ended("sent")
        await shop.ended("ada")
    restorer.cache = FeatureCache(2**28)  # as in a new process
    async with second.working():
        await shop.restore("named", "ada")
        named = await shop.ended("named")
    assert second.work == {"fetch": 1}
    assert await shop.result("named") == await shop.result("sent")
    assert named.references == tuple(replace(one, person="ada") for one in sent.references)
    assert tuple(replace(face, person=None) for face in named.faces) == sent.faces


async def test_several_people_are_recalled_one_after_the_other(shop: Shop, hand: NewHand) -> None:
    first, second = hand("one"), hand("two")
    await shop.enroll("ada", [SHARP, BLURRED, OTHER])
    await shop.enroll("ben", [OTHER])
    async with first.working():
        await shop.ended("ada")
        await shop.ended("ben")
    async with second.working():
        await shop.restore("job", "ada", others=["ben"])
        job = await shop.ended("job")
    assert job.status is JobStatus.SUCCEEDED
    assert second.work == {"fetch": 3}
    assert [(one.index, one.person, one.used) for one in job.references] == [
        (1, "ada", True),
        (2, "ada", False),
        (3, "ada", True),
        (4, "ben", True),
    ]
    assert [(face.person, len(face.selected)) for face in job.faces] == [("ada", 4)]


async def test_of_many_people_the_sharpest_references_of_each_are_used(shop: Shop, hand: NewHand) -> None:
    softer = file_of(cv2.GaussianBlur(FACE, (0, 0), 0.7))
    names = [f"p{number}" for number in range(6)]
    for name in names:
        await shop.enroll(name, [softer, SHARP, OTHER])
    async with hand("one").working():
        for name in names:
            await shop.ended(name)
        await shop.restore("job", names[0], others=names[1:])
        job = await shop.ended("job")
    assert job.status is JobStatus.SUCCEEDED
    assert [(one.used, one.reason) for one in job.references] == [
        (False, "reference-surplus"),
        (True, None),
        (True, None),
    ] * 6


async def test_what_a_new_model_encoded_of_several_people_is_kept_with_each(
    shop: Shop, hand: NewHand
) -> None:
    await shop.enroll("ada", [SHARP, OTHER])
    await shop.enroll("ben", [OTHER])
    async with hand("one").working():
        await shop.ended("ada")
        await shop.ended("ben")
    newer, another = hand("two"), hand("three")
    newer.restorer.encoder = another.restorer.encoder = "inverting-2"
    async with newer.working():
        await shop.restore("job1", "ada", others=["ben"])
        await shop.ended("job1")
    assert newer.work == {"decode": 3, "encode": 3}
    async with another.working():
        await shop.restore("job2", "ben", others=["ada"])
        await shop.ended("job2")
    assert another.work == {"fetch": 3}


async def test_a_group_of_whom_one_was_deleted_fails_and_says_who(shop: Shop, hand: NewHand) -> None:
    await shop.enroll("ada", [SHARP])
    await shop.enroll("ben", [SHARP])
    async with hand("one").working():
        await shop.ended("ada")
        await shop.ended("ben")
    await shop.restore("job", "ada", others=["ben"])
    await shop.people.delete("ben")
    async with hand("two").working():
        job = await shop.ended("job")
    assert job.failure is not None
    assert job.failure.code == "person-gone"
    assert "ben" in job.failure.detail


async def test_a_model_that_is_new_encodes_the_kept_face_once_and_shares_it(
    shop: Shop, hand: NewHand
) -> None:
    await shop.enroll("ada", [SHARP])
    async with hand("one").working():
        await shop.ended("ada")
    newer, another = hand("two"), hand("three")
    newer.restorer.encoder = another.restorer.encoder = "inverting-2"
    async with newer.working():
        await shop.restore("job1", "ada")
        await shop.ended("job1")
    assert newer.work == {"decode": 1, "encode": 1}
    assert set((await shop.person("ada")).encoders) == {"inverting-1", "inverting-2"}
    async with another.working():
        await shop.restore("job2", "ada")
        await shop.ended("job2")
    assert another.work == {"fetch": 1}


@pytest.mark.parametrize("damage", [b"", b"no features at all"])
async def test_damaged_features_are_made_again(shop: Shop, hand: NewHand, damage: bytes) -> None:
    await shop.enroll("ada", [SHARP])
    worker = hand("one")
    async with worker.working():
        await shop.ended("ada")
    await shop.blobs.put(features_key("ada", 1, worker.restorer.encoder), damage, 600)
    other = hand("two")
    async with other.working():
        await shop.restore("job1", "ada")
        assert (await shop.ended("job1")).status is JobStatus.SUCCEEDED
    assert other.work == {"decode": 1, "encode": 1}


async def test_a_job_of_a_deleted_person_fails_even_if_they_are_in_memory(shop: Shop, hand: NewHand) -> None:
    worker = hand("one")
    await shop.enroll("ada", [SHARP])
    async with worker.working():
        await shop.ended("ada")
        await shop.restore("before", "ada")
        assert (await shop.ended("before")).status is JobStatus.SUCCEEDED
        record = await shop.people.delete("ada")
        assert record is not None
        request = (await shop.ended("before")).request
        image = await shop.store("late/0", SHARP, "photo.png")
        await shop.queue.submit("late", replace(request, image=image, person=record.stored))
        job = await shop.ended("late")
        assert job.failure is not None
        assert job.failure.code == "person-gone"
        assert worker.restorer.known != {}
        await worker.recall.forget_deleted([worker.restorer])
        assert worker.restorer.known == {}, "nor does memory keep anything"
