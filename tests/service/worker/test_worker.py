"""The worker's pipeline on a real Redis, with a small restorer in place of the network."""

import asyncio
import threading
import time
from collections.abc import Sequence

import numpy as np
import pytest
from inverting import Inverting, InvertingLater
from known_faces import KnownFaces, astronauts, face_at
from pictures import file_of, pixels_of
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from refstar_service.engine.restorer import FaceTask
from refstar_service.images import ImageLimits, Picture
from refstar_service.jobs import (
    Attempt,
    JobQueue,
    JobStatus,
    Reservation,
    WorkerInfo,
)
from refstar_service.jobs.request import input_keys
from refstar_service.restoration.report import FaceAction
from refstar_service.restoration.upload import Upload
from refstar_service.worker import patience, results
from worker_bench import PHOTOGRAPH, SIZE, Bench


def picture(level: int, size: int = SIZE) -> bytes:
    return file_of(np.full((size, size, 3), level, np.uint8))


async def test_every_job_gets_its_own_result_and_inputs_go(redis: Redis) -> None:
    bench = Bench(redis, restorer := Inverting())
    for level in range(20):
        await bench.submit(f"job{level}", picture(level), [picture(200)])
    async with bench.working():
        for level in range(20):
            job = await bench.ended(f"job{level}")
            assert job.result is not None
            data = await bench.blobs.get(job.result.image.key)
            assert data is not None
            assert (pixels_of(data) == 255 - level).all()
            assert job.result.selection is not None
            assert await bench.blobs.get(job.result.selection.key) is not None
            assert job.faces[0].selected == pytest.approx((0.2,))
    assert sum(restorer.batches) == 20
    assert max(restorer.batches) > 1  # faces of different jobs shared a batch
    assert not [key async for key in redis.scan_iter("*/0")]


async def test_faces_of_one_and_of_several_jobs_are_restored_side_by_side(redis: Redis) -> None:
    both_there = threading.Barrier(2, timeout=10)  # breaks, and fails the job, if one comes alone

    def wait_for_another(tasks: Sequence[FaceTask]) -> None:
        assert len(tasks) == 1
        both_there.wait()

    restorer = Inverting(wait_for_another)
    bench = Bench(redis, restorer, rounds_at_once=2, faces_at_once=1)
    for level in range(12):
        await bench.submit(f"job{level}", picture(level), [picture(200)])
    async with bench.working():
        for level in range(12):
            job = await bench.ended(f"job{level}")
            assert job.result is not None
            data = await bench.blobs.get(job.result.image.key)
            assert data is not None
            assert (pixels_of(data) == 255 - level).all()
    assert restorer.batches == [1] * 12


async def test_a_face_that_takes_long_holds_up_nobody_beside_it(redis: Redis) -> None:
    others_are_done = threading.Event()

    def wait_if_zero(tasks: Sequence[FaceTask]) -> None:
        if tasks[0].low_quality[0, 0, 0] == 0:
            assert others_are_done.wait(10)

    bench = Bench(redis, Inverting(wait_if_zero), rounds_at_once=2, faces_at_once=1)
    for level in range(6):
        await bench.submit(f"job{level}", picture(level))
    async with bench.working():
        for level in range(1, 6):
            assert (await bench.ended(f"job{level}")).status is JobStatus.SUCCEEDED
        others_are_done.set()
        assert (await bench.ended("job0")).status is JobStatus.SUCCEEDED


async def test_a_worker_that_ends_finishes_the_faces_that_are_at_the_model(redis: Redis) -> None:
    begun, go_on = threading.Barrier(3, timeout=10), threading.Event()

    def wait(tasks: Sequence[FaceTask]) -> None:
        begun.wait()
        assert go_on.wait(10)

    bench = Bench(redis, Inverting(wait), rounds_at_once=2, faces_at_once=1)
    for level in range(4):
        await bench.submit(f"job{level}", picture(level))
    async with bench.working():
        await asyncio.to_thread(begun.wait)
        bench.stopping.set()
        go_on.set()
    states = [(await bench.queue.get(f"job{level}")) for level in range(4)]
    assert [job.status for job in states if job] == [JobStatus.SUCCEEDED] * 2 + [JobStatus.QUEUED] * 2


async def test_a_failing_batch_is_repeated_one_by_one(redis: Redis) -> None:
    def fail_on_nine(tasks: Sequence[FaceTask]) -> None:
        if any(t.low_quality[0, 0, 0] == 9 for t in tasks):
            raise RuntimeError("no")

    bench = Bench(redis, Inverting(fail_on_nine))
    for level in range(7, 12):
        await bench.submit(f"job{level}", picture(level))
    async with bench.working():
        for level in (7, 8, 10, 11):
            assert (await bench.ended(f"job{level}")).status is JobStatus.SUCCEEDED
        failed = await bench.ended("job9")
        assert failed.status is JobStatus.FAILED
        assert failed.failure is not None
        assert failed.failure.code == "inference-failed"
        assert set(failed.timings) == {"fetch", "decode", "detect", "infer"}


async def test_numbers_that_are_not_finite_fail_the_job_and_leave_no_result(redis: Redis) -> None:
    bench = Bench(redis, Inverting(finite=lambda task: False))
    await bench.submit("sick", picture(3))
    async with bench.working():
        job = await bench.ended("sick")
    assert job.status is JobStatus.FAILED
    assert set(job.timings) == {"fetch", "decode", "detect", "infer"}
    assert job.result is None
    assert not [key async for key in redis.scan_iter("*sick/result*")]


@pytest.mark.parametrize(
    ("upload", "references", "changes", "code", "names", "stages"),
    [
        (picture(3)[:60], [], {}, "image-truncated", "image (0.png)", {"decode"}),
        (picture(3), [b"no picture at all"], {}, "not-an-image", "reference 1 (1.png)", {"decode", "detect"}),
        (file_of(np.zeros((30, 60, 3), np.uint8)), [], {}, "not-square", "60 x 30", {"decode", "detect"}),
        (picture(3), [], {"faces": "all"}, "no-face-found", "32 x 32", {"decode", "detect"}),
        (
            PHOTOGRAPH,
            [picture(3)],
            {"faces": "all"},
            "reference-without-face",
            "reference 1 (1.png)",
            {"decode", "detect"},
        ),
    ],
)
async def test_a_job_that_cannot_be_done_says_why_and_how_long_each_stage_took(
    redis: Redis,
    upload: bytes,
    references: list[bytes],
    changes: dict[str, object],
    code: str,
    names: str,
    stages: set[str],
) -> None:
    bench = Bench(redis, Inverting())
    await bench.submit("bad", upload, references, **changes)
    await bench.submit("good", picture(5))
    async with bench.working():
        job = await bench.ended("bad")
        assert (await bench.ended("good")).status is JobStatus.SUCCEEDED
    assert job.failure is not None
    assert job.failure.code == code
    assert names in job.failure.detail
    assert set(job.timings) == {"fetch"} | stages


async def test_a_job_whose_model_no_live_worker_has_fails(redis: Redis) -> None:
    bench = Bench(redis, Inverting(), model_grace=0.0)
    await bench.submit("odd", picture(3), model="other")
    async with bench.working():
        job = await bench.ended("odd")
    assert job.failure is not None
    assert (job.failure.code, set(job.timings)) == ("unknown-model", {"fetch"})
    assert "'other'" in job.failure.detail


async def test_a_job_whose_model_another_worker_has_waits_for_it(redis: Redis) -> None:
    bench = Bench(redis, Inverting(), model_grace=0.5)
    await bench.queue.announce_worker(WorkerInfo("elsewhere", ("other",), "cpu", time.time()), 60)
    await bench.submit("theirs", picture(3), model="other")
    await bench.submit("odd", picture(3), model="nobodys")
    await bench.submit("ours", picture(5))
    async with bench.working():
        assert (await bench.ended("ours")).status is JobStatus.SUCCEEDED
        assert (await bench.ended("odd")).status is JobStatus.FAILED
        waiting = await bench.queue.get("theirs")
    assert waiting is not None
    assert (waiting.status, waiting.attempts) == (JobStatus.QUEUED, 0)
    [left] = await bench.queue.reserve(1, models={"other"})
    assert left.job_id == "theirs"


async def test_an_upload_that_is_gone_ends_the_job(redis: Redis) -> None:
    bench = Bench(redis, Inverting())
    await bench.submit("gone", picture(3))
    await bench.blobs.delete("gone/0")
    async with bench.working():
        job = await bench.ended("gone")
    assert job.failure is not None
    assert job.failure.code == "input-expired"


async def test_a_job_canceled_while_it_runs_keeps_no_result(redis: Redis) -> None:
    loop, begun, go_on = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()

    def wait(tasks: Sequence[FaceTask]) -> None:
        loop.call_soon_threadsafe(begun.set)
        asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result()

    bench = Bench(redis, Inverting(wait))
    await bench.submit("late", picture(3))
    async with bench.working():
        await begun.wait()
        await bench.queue.cancel("late")
        go_on.set()
        job = await bench.ended("late")
        assert job.status is JobStatus.CANCELED
    assert not [key async for key in redis.scan_iter("*late/*")]


async def test_a_stopped_worker_finishes_what_runs_and_gives_back_the_rest(redis: Redis) -> None:
    loop, begun, go_on = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()

    def wait(tasks: Sequence[FaceTask]) -> None:
        loop.call_soon_threadsafe(begun.set)
        asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result()

    bench = Bench(redis, Inverting(wait))
    await bench.submit("running", picture(1))
    async with bench.working():
        await begun.wait()
        await bench.submit("waiting", picture(2))
        while (await bench.queue.get("waiting")).status is JobStatus.QUEUED:  # type: ignore[union-attr]  # noqa: ASYNC110
            await asyncio.sleep(0.02)  # until it is prefetched
        bench.stopping.set()
        go_on.set()
    other = JobQueue(redis)
    assert (await other.get("running")).status is JobStatus.SUCCEEDED  # type: ignore[union-attr]
    left = await other.get("waiting")
    assert left is not None
    assert (left.status, left.attempts) == (JobStatus.QUEUED, 0)
    assert len(await other.reserve(5)) == 1  # at once, not after stale_after
    assert await other.workers() == []
    await other.aclose()


async def test_a_job_that_is_tried_again_has_the_worker_to_itself(redis: Redis) -> None:
    dead = JobQueue(redis, stale_after=0.2, worker="dead")
    bench = Bench(redis, restorer := Inverting())
    bench.queue.stale_after = 0.2
    await bench.submit("suspect", picture(9))
    assert await dead.start(await dead.reserve(1))  # a worker that dies here
    await asyncio.sleep(0.3)
    seen: list[int] = []

    def look(tasks: Sequence[FaceTask]) -> None:
        if tasks[0].low_quality[0, 0, 0] == 9:
            seen.append(len(bench.worker.holdings.begun))

    restorer.act = look
    for level in range(1, 6):
        await bench.submit(f"job{level}", picture(level))
    async with bench.working():
        for name in ["suspect", *(f"job{level}" for level in range(1, 6))]:
            assert (await bench.ended(name)).status is JobStatus.SUCCEEDED
    assert seen == [1]  # nobody else's attempt was counted meanwhile
    await dead.aclose()


async def test_a_redis_that_refuses_writes_is_waited_for(redis: Redis) -> None:
    bench = Bench(redis, Inverting())
    await bench.submit("first", picture(1))
    await bench.submit("second", picture(2))
    try:
        # As it does with a full disk (MISCONF), only that this refusal can be switched on.
        await redis.config_set("min-replicas-to-write", 1)
        async with bench.working():
            await asyncio.sleep(1)
            await redis.config_set("min-replicas-to-write", 0)
            for name in ("first", "second"):
                assert (await bench.ended(name)).attempts == 1
    finally:
        await redis.config_set("min-replicas-to-write", 0)


async def test_jobs_that_were_reserved_when_redis_went_away_are_begun_when_it_is_back(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(redis, Inverting())
    for level in range(3):
        await bench.submit(f"job{level}", picture(level))
    start, away = bench.queue.start, 2

    async def start_later(reservations: Sequence[Reservation]) -> list[Attempt | None]:
        nonlocal away
        if away:
            away -= 1
            raise RedisConnectionError("away")
        return await start(reservations)

    monkeypatch.setattr(bench.queue, "start", start_later)
    async with bench.working():
        for level in range(3):
            assert (await bench.ended(f"job{level}")).attempts == 1
    assert not bench.worker.holdings.held


async def test_jobs_that_no_attempt_could_be_counted_for_are_left_to_others(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "PATIENCE", 0)

    tried = asyncio.Event()

    async def fail(reservations: Sequence[Reservation]) -> list[Attempt | None]:
        tried.set()
        raise RedisConnectionError("away")

    bench = Bench(redis, Inverting())
    bench.queue.stale_after = 0.2
    await bench.submit("one", picture(1))
    monkeypatch.setattr(bench.queue, "start", fail)
    other = JobQueue(redis, stale_after=0.2)
    async with bench.working():
        await tried.wait()
        async with asyncio.timeout(20):
            while not (found := await other.reserve(1, block=0.1)):
                pass
    assert [one.job_id for one in found] == ["one"]
    await other.aclose()


async def test_a_worker_that_finds_its_own_job_stale_goes_on_with_it(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, begun, go_on = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()

    def wait(tasks: Sequence[FaceTask]) -> None:
        loop.call_soon_threadsafe(begun.set)
        asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result()

    async def missed(held: Sequence[object]) -> list[object]:
        return []

    bench = Bench(redis, restorer := Inverting(wait))
    bench.queue.stale_after = 0.2
    monkeypatch.setattr(bench.queue, "heartbeat", missed)  # as in a pause of the machine
    await bench.submit("one", picture(1))
    async with bench.working():
        await begun.wait()
        await asyncio.sleep(0.6)
        go_on.set()
        assert (await bench.ended("one")).attempts == 1
    assert restorer.batches == [1]


async def test_the_uploads_of_a_job_out_of_attempts_go_too(redis: Redis) -> None:
    dead = JobQueue(redis, stale_after=0.2, max_attempts=1, worker="dead")
    bench = Bench(redis, Inverting())
    bench.queue.stale_after, bench.queue.max_attempts = 0.2, 1
    await bench.submit("poison", picture(9), [picture(8)])
    assert await dead.start(await dead.reserve(1))  # a worker that dies here
    await asyncio.sleep(0.3)
    async with bench.working():
        job = await bench.ended("poison")
        assert job.failure is not None
        assert job.failure.code == "worker-lost"
        async with asyncio.timeout(5):
            while [key async for key in redis.scan_iter("*poison/*")]:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    await dead.aclose()


async def test_the_uploads_of_a_job_that_waited_too_long_go_when_a_worker_meets_it(redis: Redis) -> None:
    bench = Bench(redis, Inverting())
    bench.queue.job_ttl = 0.1
    await bench.submit("late", picture(1), [picture(2), picture(3)])
    for key in input_keys("late")[:3]:  # as the gateway names them
        await bench.blobs.put(key, picture(1), 60)
    await asyncio.sleep(0.15)
    bench.queue.job_ttl = 60
    async with bench.working():
        async with asyncio.timeout(5):
            while [key async for key in redis.scan_iter("*blob:late/[ir]*")]:  # noqa: ASYNC110
                await asyncio.sleep(0.02)


async def test_a_result_that_cannot_be_encoded_fails_its_job_at_once(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise OSError("encoder error -2")  # as Pillow says it; not the trouble of a store, which passes

    monkeypatch.setattr(results, "compose", fail)
    bench = Bench(redis, Inverting())
    await bench.submit("odd", picture(3))
    async with bench.working():
        job = await bench.queue.wait("odd", 3)
    assert job is not None
    assert job.failure is not None
    assert job.failure.code == "inference-failed"


async def test_an_upload_that_breaks_the_decoder_fails_its_job_alone(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = Upload.decode

    def decode(upload: Upload, role: str, limits: ImageLimits) -> Picture:
        if upload.data == PHOTOGRAPH:
            raise RuntimeError("odd")
        return known(upload, role, limits)

    monkeypatch.setattr(Upload, "decode", decode)
    bench = Bench(redis, Inverting())
    await bench.submit("odd", PHOTOGRAPH, faces="all")
    await bench.submit("good", picture(5))
    async with bench.working():
        job = await bench.ended("odd")
        assert (await bench.ended("good")).status is JobStatus.SUCCEEDED
    assert job.failure is not None
    assert job.failure.code == "inference-failed"


async def test_a_photograph_comes_back_whole_with_its_reports(redis: Redis) -> None:
    picture, faces = astronauts(2)
    detector = KnownFaces({(1024, 512): faces, (512, 512): [face_at()]})
    bench = Bench(redis, Inverting(), detector, size=128)  # of a smaller crop, no reference is sharp
    await bench.submit("whole", file_of(picture), [PHOTOGRAPH], faces="largest", upscale=2)
    async with bench.working():
        job = await bench.ended("whole")
        assert job.result is not None
        data = await bench.blobs.get(job.result.image.key)
        assert data is not None
        assert pixels_of(data).shape == (1024, 2048, 3)
    assert [(f.action, f.reason) for f in job.faces] == [
        (FaceAction.RESTORED, None),
        (FaceAction.SKIPPED, "not-largest"),
    ]
    assert len(job.faces[0].points) == 5
    assert [(r.name, r.used) for r in job.references] == [("1.png", True)]
    assert set(job.timings) == {"fetch", "decode", "detect", "infer", "review", "paste", "encode", "store"}
    counted = bench.metrics.faces
    assert counted.labels("restored", "")._value.get() == 1
    assert counted.labels("skipped", "not-largest")._value.get() == 1


async def test_a_job_without_a_restored_face_fails_and_says_what_was_found(redis: Redis) -> None:
    bench = Bench(redis, Inverting())
    await bench.submit("small", PHOTOGRAPH, faces="all", min_face=200)
    async with bench.working():
        job = await bench.ended("small")
    assert job.failure is not None
    assert job.failure.code == "face-too-small"
    assert [(f.action, f.reason) for f in job.faces] == [(FaceAction.SKIPPED, "face-too-small")]
    assert bench.metrics.jobs_finished.labels("failed", "face-too-small", "refstar")._value.get() == 1
    assert not [key async for key in redis.scan_iter("*small/*")]


async def test_a_group_photograph_shares_the_model_with_single_faces(redis: Redis) -> None:
    group = [face_at(scale=1 - i / 100) for i in range(30)]
    bench = Bench(redis, restorer := Inverting(), KnownFaces({(512, 512): group}))
    await bench.submit("group", PHOTOGRAPH, faces="all")
    for level in range(4):
        await bench.submit(f"job{level}", picture(level))
    finished: list[str] = []
    async with bench.working():

        async def note(name: str) -> None:
            await bench.ended(name)
            finished.append(name)

        await asyncio.gather(*(note(name) for name in ("group", "job0", "job1", "job2", "job3")))
        assert len((await bench.ended("group")).faces) == 30
    assert finished[-1] == "group"
    assert max(restorer.batches) <= 8
    assert restorer.batches[0] == 8  # four of the group and the four others
    assert sum(restorer.batches) == 34


async def test_a_group_photograph_that_is_not_through_goes_back_when_the_worker_ends(redis: Redis) -> None:
    group = [face_at(scale=1 - i / 100) for i in range(30)]
    bench = Bench(redis, restorer := Inverting(), KnownFaces({(512, 512): group}))
    restorer.act = lambda tasks: bench.stopping.set()
    await bench.submit("group", PHOTOGRAPH, faces="all")
    async with bench.working():
        await bench.stopping.wait()
    other = JobQueue(redis)
    left = await other.get("group")
    assert left is not None
    assert (left.status, left.attempts) == (JobStatus.QUEUED, 0)
    assert restorer.batches == [8]
    await other.aclose()


async def test_large_pictures_are_decoded_in_portions(redis: Redis) -> None:
    pixels = 512 * 512 * 2  # the picture and its result
    bench = Bench(redis, restorer := Inverting(), max_batch_pixels=2 * pixels)
    for number in range(6):
        await bench.submit(f"job{number}", PHOTOGRAPH, faces="all")
    async with bench.working():
        for number in range(6):
            assert (await bench.ended(f"job{number}")).status is JobStatus.SUCCEEDED
    assert restorer.batches[0] == 2
    assert sum(restorer.batches) == 6
    assert max(restorer.batches) <= 4


async def test_the_next_batch_is_made_ready_while_one_is_computed(redis: Redis) -> None:
    go_on, computing = threading.Event(), threading.Event()

    def wait(tasks: Sequence[FaceTask]) -> None:
        computing.set()
        assert go_on.wait(20)

    bench = Bench(redis, restorer := Inverting(wait))
    staged: list[int] = []
    stage = restorer.stage

    def noted(tasks: Sequence[FaceTask]) -> InvertingLater:
        staged.append(len(tasks))
        return stage(tasks)

    restorer.stage = noted  # type: ignore[method-assign]
    await bench.submit("first", picture(1))
    async with bench.working():
        assert await asyncio.to_thread(computing.wait, 20)
        for level in range(2, 5):
            await bench.submit(f"job{level}", picture(level))
        async with asyncio.timeout(20):
            while not staged:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert restorer.batches == []  # the first one is still at the model
        go_on.set()
        for name in ("first", "job2", "job3", "job4"):
            assert (await bench.ended(name)).status is JobStatus.SUCCEEDED
