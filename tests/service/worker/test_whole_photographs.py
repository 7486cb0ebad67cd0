"""Photographs with several faces, or none, in a worker."""

import asyncio

from inverting import Inverting
from known_faces import KnownFaces, astronauts, face_at
from pictures import file_of, pixels_of
from redis.asyncio import Redis
from refstar_service.jobs import (
    JobQueue,
    JobStatus,
)
from refstar_service.restoration.report import FaceAction
from worker_bench import PHOTOGRAPH, Bench, picture


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
