"""Two versions of one model: each job is done by the one that it was given when it was accepted."""

from inverting import Inverting
from redis.asyncio import Redis
from refstar_service.jobs import JobStatus
from versions_bench import NEW, OLD, Halving, VersionsBench, level_of, working


async def test_each_job_is_done_by_the_version_in_its_record(redis: Redis) -> None:
    bench = VersionsBench(redis, {OLD: Inverting(), NEW: Halving()})
    for number in range(8):
        version = "12"[number % 2]
        await bench.submit(f"job{number}", 20 * number, OLD if version == "1" else NEW, version)
    async with working(bench):
        for number in range(8):
            assert await bench.level(f"job{number}") == level_of("12"[number % 2], 20 * number)
    for model in (OLD, NEW):
        assert bench.figure("jobs_finished_total", outcome="succeeded", reason="", model=model) == 4
        assert bench.figure("job_duration_seconds_count", model=model) == 4


async def test_a_job_that_names_no_version_is_done_by_the_default_one(redis: Redis) -> None:
    """An older release wrote it."""
    bench = VersionsBench(redis, {OLD: Inverting(), NEW: Halving()}, default=NEW)
    await bench.submit("old", 100)
    async with working(bench):
        assert await bench.level("old") == level_of("2", 100)


async def test_jobs_keep_their_version_when_the_default_changes(redis: Redis) -> None:
    bench = VersionsBench(redis, {OLD: Inverting(), NEW: Halving()}, default=NEW)
    await bench.submit("before", 100, "refstar", "1")
    await bench.submit("after", 100, "refstar", "2")
    async with working(bench):
        assert await bench.level("before") == level_of("1", 100)
        assert await bench.level("after") == level_of("2", 100)


async def test_a_worker_passes_on_what_is_for_a_version_that_another_one_has(redis: Redis) -> None:
    """The plain name is all that it could see before: no attempt is counted."""
    first = VersionsBench(redis, {OLD: Inverting()}, name="first")
    second = VersionsBench(redis, {NEW: Halving()}, NEW, name="second")
    async with working(first):
        for number in range(3):
            await first.submit(f"job{number}", 90 + number, "refstar", "2")
        await first.submit("own", 100, "refstar", "1")
        assert await first.level("own") == level_of("1", 100)
        async with working(second):
            for number in range(3):
                assert await first.level(f"job{number}") == level_of("2", 90 + number)
                assert (await first.ended(f"job{number}")).attempts == 1
    assert sum((await first.queue.depth()).values()) == 0


async def test_after_a_rollback_a_canarys_jobs_end_if_a_worker_still_has_it(redis: Redis) -> None:
    """One worker was rolled back, the other one was not yet."""
    rolled_back = VersionsBench(redis, {OLD: Inverting()}, name="back", grace=0.5)
    for number in range(3):
        await rolled_back.submit(f"canary{number}", 100 + number, NEW, "2")
    both = VersionsBench(redis, {OLD: Inverting(), NEW: Halving()}, name="both")
    async with working(both, rolled_back):
        for number in range(3):
            assert await both.level(f"canary{number}") == level_of("2", 100 + number)


async def test_without_such_a_worker_they_fail_and_no_other_job_does(redis: Redis) -> None:
    bench = VersionsBench(redis, {OLD: Inverting()}, grace=0.3)
    await bench.submit("canary", 100, NEW, "2")
    await bench.submit("stray", 100, "refstar", "2")
    await bench.submit("other", 100, "refstar", "1")
    async with working(bench):
        assert await bench.level("other") == level_of("1", 100)
        for name in ("canary", "stray"):
            job = await bench.ended(name)
            assert (job.status, job.failure and job.failure.code) == (JobStatus.FAILED, "unknown-model")
            assert job.failure is not None
            assert "'refstar@2'" in job.failure.detail
