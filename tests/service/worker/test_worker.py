"""The worker's pipeline on a real Redis, with a small restorer in place of the network."""

import asyncio
import threading
import time
from collections.abc import Sequence

import numpy as np
import pytest
from inverting import Inverting, InvertingLater
from pictures import file_of, pixels_of
from redis.asyncio import Redis
from refstar_service.engine.restorer import FaceTask
from refstar_service.images import ImageLimits, Picture
from refstar_service.jobs import (
    JobStatus,
    WorkerInfo,
)
from refstar_service.restoration.upload import Upload
from refstar_service.worker import results
from refstar_service.worker.patience import PATIENCE
from worker_bench import PHOTOGRAPH, Bench, picture


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


async def test_a_result_is_stored_for_longer_than_its_job_says(redis: Redis) -> None:
    """It is stored before the job ends, and until that is recorded, Redis may be away for a while."""
    bench = Bench(redis, Inverting())
    await bench.submit("job", picture(1))
    async with bench.working():
        job = await bench.ended("job")
        assert job.result is not None
        left = await redis.pttl(f"refstar:blob:{job.result.image.key}")
    assert time.time() + left / 1000 > job.expires_at + PATIENCE


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
