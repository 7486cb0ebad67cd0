"""Stored people in the worker: enrolled once, recalled by every worker, forgotten when they are deleted."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import cv2
import numpy as np
import pytest
import skimage.data
from inverting import Inverting
from known_faces import KnownFaces, astronauts, face_at
from pictures import file_of
from redis.asyncio import Redis
from refstar_service.blobs import RedisBlobs
from refstar_service.engine.feature_cache import FeatureCache
from refstar_service.engine.manifest import load_manifest
from refstar_service.engine.restorer import Restorer
from refstar_service.faces.select import FaceMode
from refstar_service.images import ImageLimits
from refstar_service.jobs import (
    EnrollRequest,
    Job,
    JobQueue,
    JobStatus,
    RestoreRequest,
    StoredFile,
    WorkerInfo,
)
from refstar_service.metrics.registry import new_registry
from refstar_service.metrics.worker import WorkerMetrics
from refstar_service.people import (
    Amendment,
    PeopleStore,
    Person,
    PersonStatus,
    blob_keys,
    crop_key,
    features_key,
)
from refstar_service.restoration.knobs import Knobs
from refstar_service.restoration.references import ReferenceMemory
from refstar_service.restoration.steps import Model, Viewer
from refstar_service.settings import Settings
from refstar_service.worker.files import JobFiles
from refstar_service.worker.pipeline import Worker
from refstar_service.worker.recall import Recall

SIZE = 64
FACE = skimage.data.astronaut()
SHARP, OTHER = file_of(FACE), file_of(np.ascontiguousarray(255 - FACE))
BLURRED = file_of(cv2.GaussianBlur(FACE, (0, 0), 10))
TWO, TWO_FACES = astronauts(2)
FACES = {(512, 512): [face_at()], (1024, 512): TWO_FACES}
EMPTY = file_of(np.full((300, 300, 3), 90, np.uint8))


class Shop:
    """One Redis, and as many workers as a test wants."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.queue = JobQueue(redis, stale_after=5, result_ttl=60)
        self.blobs, self.people = RedisBlobs(redis), PeopleStore(redis)

    async def enroll(self, name: str, references: Sequence[bytes], aligned: bool = False) -> None:
        await self.people.add(name, owner="", name="", request_id="r", limit=99, ttl=600)
        files = [
            await self._stored(f"{name}/{number}", data, f"{number}.png")
            for number, data in enumerate(references)
        ]
        await self.queue.submit(name, EnrollRequest(tuple(files), aligned=aligned))

    async def change(
        self, person: str, change: str, references: Sequence[bytes], remove: Sequence[int] = ()
    ) -> None:
        """Begins one, as a gateway does."""
        amended = await self.people.amend(
            person, lambda now: Amendment(change=change, numbered=now.numbered + len(references))
        )
        assert amended is not None
        files = [
            await self._stored(f"{change}/{number}", data, f"more-{number}.png")
            for number, data in enumerate(references)
        ]
        first = amended[1].numbered - len(references) + 1
        request = EnrollRequest(tuple(files), person=person, first=first, remove=tuple(remove))
        await self.queue.submit(change, request)

    async def remove(self, person: str, *numbers: int) -> None:
        await self.people.amend(person, lambda now: Amendment(remove=frozenset(numbers)))
        record = await self.person(person)
        await self.blobs.delete(*blob_keys(person, record.encoders, numbers))

    async def restore(
        self,
        name: str,
        person: str | None,
        references: Sequence[bytes] = (),
        others: Sequence[str] = (),
    ) -> None:
        record = await self.people.get(person) if person else None
        more = [(await self.person(other)).stored for other in others]
        image = await self._stored(f"{name}/0", SHARP, "photo.png")
        sent = [
            await self._stored(f"{name}/{number}", data, f"{number - 1}.png")
            for number, data in enumerate(references, 1)
        ]
        stored = record.stored if record else None
        request = RestoreRequest(
            image,
            tuple(sent),
            "refstar",
            Knobs(FaceMode.LARGEST, format="png"),
            person=stored,
            others=tuple(more),
        )
        await self.queue.submit(name, request)

    async def result(self, name: str) -> bytes | None:
        job = await self.ended(name)
        assert job.result is not None
        return await self.blobs.get(job.result.image.key)

    async def ended(self, name: str) -> Job:
        job = await self.queue.wait(name, 20)
        assert job is not None
        assert job.status.terminal
        return job

    async def person(self, name: str) -> Person:
        found = await self.people.get(name)
        assert found is not None
        return found

    async def keys(self, pattern: str = "*") -> set[str]:
        return {key.decode() async for key in self.redis.scan_iter(pattern)}

    async def _stored(self, key: str, data: bytes, name: str) -> StoredFile:
        await self.blobs.put(key, data, 60)
        return StoredFile(key, hashlib.sha256(data).hexdigest(), "image/png", len(data), name)


class Hand:
    """One worker of the shop."""

    def __init__(
        self, shop: Shop, name: str, restorer: Restorer | None = None, max_references: int = 8
    ) -> None:
        self.restorer, self.detector = Inverting(remembering=True), KnownFaces(FACES)
        model = (
            Model(restorer, 512) if restorer else Model(self.restorer, SIZE, max_references=max_references)
        )
        self.recall = Recall(shop.people, shop.blobs)
        self._metrics = WorkerMetrics.on(new_registry())
        self._queue = JobQueue(shop.redis, stale_after=5, worker=name, result_ttl=60)
        self._worker = Worker(
            self._queue,
            JobFiles(shop.blobs, 60),
            {"refstar": model},
            WorkerInfo(name, ("refstar",), "cpu", time.time()),
            metrics=self._metrics,
            viewer=Viewer(self.detector, ReferenceMemory(), ImageLimits()),
            max_batch=4,
            max_batch_pixels=100_000_000,
            picture_threads=1,
            recall=self.recall,
        )

    @property
    def work(self) -> dict[str, int]:
        """What `refstar_reference_work_total` says: steps of work on references so far."""
        [metric] = self._metrics.reference_work.collect()
        return {one.labels["step"]: int(one.value) for one in metric.samples if one.name.endswith("_total")}

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        stopping = asyncio.Event()
        task = asyncio.create_task(self._worker.run(stopping))
        try:
            yield
        finally:
            stopping.set()
            await asyncio.wait_for(task, 20)
            await self._queue.aclose()


@pytest.fixture
async def shop(redis: Redis) -> AsyncIterator[Shop]:
    shop = Shop(redis)
    yield shop
    await shop.queue.aclose()


@pytest.fixture
def hand(shop: Shop) -> Callable[[str], Hand]:
    return lambda name: Hand(shop, name)


NewHand = Callable[[str], Hand]


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
    assert named.timings["decode"] < sent.timings["decode"]


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
        image = await shop._stored("late/0", SHARP, "photo.png")
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
        image = await shop._stored("last/0", SHARP, "photo.png")
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
        image = await shop._stored("late/0", SHARP, "photo.png")
        await shop.queue.submit("late", replace(request, image=image, person=record.stored))
        job = await shop.ended("late")
        assert job.failure is not None
        assert job.failure.code == "person-gone"
        assert worker.restorer.known != {}
        await worker.recall.forget_deleted([worker.restorer])
        assert worker.restorer.known == {}, "nor does memory keep anything"


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
    worker._queue.stale_after = 0.05
    async with worker.working():
        job = await shop.ended("ada")
        assert job.failure is not None
        assert job.failure.code == "worker-lost"
        async with asyncio.timeout(10):
            while (await shop.person("ada")).status is PersonStatus.PREPARING:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    assert (await shop.person("ada")).failure == job.failure
