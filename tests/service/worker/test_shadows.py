"""Jobs that another version does once more: compared, counted, seen by nobody, and nothing is left of them."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

import pytest
from inverting import Inverting
from redis.asyncio import Redis
from refstar_service.blobs.ledger import Ledger
from refstar_service.engine.restorer import FaceTask
from refstar_service.jobs import JobStatus
from refstar_service.jobs.request import shadow_id
from versions_bench import NEW, OLD, Halving, VersionsBench, level_of, working

Condition = Callable[[], bool]


async def until(condition: Condition) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


def shadows(bench: VersionsBench, outcome: str) -> float:
    return bench.figure("shadows_total", model=NEW, outcome=outcome)


async def test_a_shadow_is_compared_to_the_result_that_was_given(
    redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "refstar_service.worker.shadows")
    bench = VersionsBench(redis, {OLD: Inverting(), NEW: Halving()})
    await bench.submit("job", 100, "refstar", "1", shadow=NEW)
    async with working(bench):
        assert await bench.level("job") == level_of("1", 100)
        await until(lambda: shadows(bench, "compared") == 1)
    # 155 and 50: 20 log10(255 / 105)
    assert bench.figure("shadow_psnr_decibels_sum", model=NEW) == pytest.approx(7.707, abs=1e-3)
    assert bench.figure("shadow_faces_total", model=NEW, restored_by="both") == 1
    assert bench.figure("shadow_duration_seconds_count", model=NEW, side="job") == 1
    assert bench.figure("shadow_duration_seconds_count", model=NEW, side="shadow") == 1
    [record] = [one for one in caplog.records if "shadow of job" in one.message]
    assert vars(record)["psnr"] == pytest.approx(7.707, abs=1e-3)


async def test_it_counts_as_no_job_and_nothing_is_left_of_it(redis: Redis) -> None:
    bench = VersionsBench(redis, {OLD: Inverting(), NEW: Halving()})
    await bench.submit("job", 100, "refstar", "1", shadow=NEW)
    async with working(bench):
        await until(lambda: shadows(bench, "compared") == 1)
        job = await bench.ended("job")
        assert job.result is not None
        left = await Ledger(redis).totals()
    assert bench.figure("jobs_finished_total", outcome="succeeded", reason="", model=OLD) == 1
    assert bench.figure("jobs_finished_total", outcome="succeeded", reason="", model=NEW) == 0
    assert bench.figure("job_duration_seconds_count", model=NEW) == 0
    assert {key.decode() for key in await redis.keys("*blob*")} == {f"refstar:blob:{job.result.image.key}"}
    assert (left.uploads, left.results) == (0, job.result.bytes)
    assert [one.id for one in (await bench.queue.jobs_of("", limit=9)).jobs] == ["job"]
    assert await bench.queue.get(shadow_id("job")) is None
    assert await redis.keys("*shadow*") == []
    assert await redis.xlen("{refstar}:queue:spare") == 0


async def test_shadows_wait_for_everything_else_and_come_one_by_one(redis: Redis) -> None:
    order: list[str] = []
    both = {OLD: Inverting(lambda tasks: order.extend("j" * len(tasks))), NEW: Halving(note(order))}
    bench = VersionsBench(redis, both)
    for number in range(12):
        await bench.submit(f"job{number}", number, "refstar", "1", shadow=NEW)
    async with working(bench):
        await until(lambda: shadows(bench, "compared") == 12)
    assert "".join(order) == 12 * "j" + 12 * "s"
    assert both[NEW].batches == 12 * [1]


def note(order: list[str]) -> Callable[[Sequence[FaceTask]], None]:
    return lambda tasks: order.append("s")


async def test_shadows_that_too_many_wait_before_are_left_out(redis: Redis) -> None:
    bench = VersionsBench(redis, {OLD: Inverting(), NEW: Halving()}, most_shadows=2)
    for number in range(4):  # one batch: they end together
        await bench.submit(f"job{number}", number, "refstar", "1", shadow=NEW)
    async with working(bench):
        await until(lambda: shadows(bench, "compared") + shadows(bench, "left_out") == 4)
    assert shadows(bench, "left_out") == 2
    assert len(await redis.keys("*blob*")) == 4  # results; no uploads


async def test_a_shadow_that_fails_harms_nobody(redis: Redis) -> None:
    def fail(tasks: Sequence[FaceTask]) -> None:
        raise ValueError("as the test wants it")

    bench = VersionsBench(redis, {OLD: Inverting(), NEW: Halving(fail)})
    await bench.submit("job", 100, "refstar", "1", shadow=NEW)
    async with working(bench):
        await until(lambda: shadows(bench, "failed") == 1)
        assert (await bench.ended("job")).status is JobStatus.SUCCEEDED
    assert len(await redis.keys("*blob*")) == 1
    assert bench.figure("jobs_finished_total", outcome="failed", reason="inference-failed", model=NEW) == 0


async def test_a_shadow_that_killed_its_worker_is_not_tried_again(redis: Redis) -> None:
    killed = VersionsBench(redis, {OLD: Inverting()}, name="killed")
    await killed.submit("job", 100, "refstar", "1", shadow=NEW)
    async with working(killed):
        await killed.ended("job")
        await asyncio.sleep(0.3)
        [held] = await killed.queue.reserve(1, block=0, models={NEW}, spare=True)
        [started] = await killed.queue.start([held])
        assert started is not None
    new = Halving()
    other = VersionsBench(redis, {NEW: new}, NEW, name="other", stale_after=0.1)
    async with working(other):
        await until(lambda: shadows(other, "failed") == 1)
    assert new.batches == []
    assert len(await redis.keys("*blob*")) == 1


async def test_a_job_that_failed_has_no_shadow(redis: Redis) -> None:
    bench = VersionsBench(redis, {OLD: Inverting(finite=lambda task: False), NEW: Halving()})
    await bench.submit("job", 100, "refstar", "1", shadow=NEW)
    async with working(bench):
        assert (await bench.ended("job")).status is JobStatus.FAILED
        await asyncio.sleep(0.3)
    assert await redis.xlen("{refstar}:queue:spare") == 0
    assert await redis.keys("*blob*") == []


async def test_a_result_that_is_gone_is_not_compared(redis: Redis) -> None:
    first = VersionsBench(redis, {OLD: Inverting()}, name="first")
    await first.submit("job", 100, "refstar", "1", shadow=NEW)
    async with working(first):
        job = await first.ended("job")
        await asyncio.sleep(0.3)
    assert job.result is not None
    await first.blobs.delete(job.result.image.key)
    second = VersionsBench(redis, {NEW: Halving()}, NEW, name="second")
    async with working(second):
        await until(lambda: shadows(second, "gone") == 1)
    assert await redis.keys("*blob*") == []
