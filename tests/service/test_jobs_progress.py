"""How far a running job is: told by whoever is at it, shown while it runs, and never in the way."""

import asyncio

import pytest
from redis.asyncio import Redis
from refstar_service.jobs import JobQueue, JobStatus, Outcome, Progress, RestoreRequest, Stage


async def begin(queue: JobQueue, request: RestoreRequest, name: str):
    await queue.submit(name, request)
    [started] = await queue.start(await queue.reserve(1))
    assert started is not None
    return started


async def progress_of(queue: JobQueue, name: str) -> Progress | None:
    job = await queue.get(name)
    assert job is not None
    return job.progress


@pytest.mark.parametrize(
    "progress",
    [Progress(Stage.PREPARING), Progress(Stage.RESTORING, 3, 30), Progress(Stage.STORING, 1, 1)],
)
def test_progress_is_read_as_it_was_written(progress: Progress) -> None:
    assert Progress.from_text(progress.to_text()) == progress


@pytest.mark.parametrize("text", ["", "dreaming 1 2", "restoring", "restoring one 2", "restoring 1 2 3"])
def test_what_another_version_wrote_is_no_progress(text: str) -> None:
    assert Progress.from_text(text) is None


async def test_progress_is_shown_while_the_job_runs_and_changes_nothing_else(
    queue: JobQueue, request_for_jobs: RestoreRequest, success: Outcome
) -> None:
    first, second = [await begin(queue, request_for_jobs, name) for name in ("one", "two")]
    assert await progress_of(queue, "one") is None
    before = await queue.get("one")
    told = [(first, Progress(Stage.PREPARING)), (second, Progress(Stage.RESTORING, 1, 3))]
    async with queue.watch("one") as changed, queue.watch("one", end_only=True) as ended:
        await asyncio.sleep(0.05)  # of the subscription itself, too, it is said
        changed.clear()
        ended.clear()
        await queue.report(told)
        await asyncio.wait_for(changed.wait(), 2)
        assert not ended.is_set()
    assert await progress_of(queue, "one") == Progress(Stage.PREPARING)
    assert await progress_of(queue, "two") == Progress(Stage.RESTORING, 1, 3)
    after = await queue.get("one")
    assert before is not None
    assert after is not None
    assert (after.version, after.expires_at) == (before.version, before.expires_at)
    await queue.finish([(first, success)])
    assert await progress_of(queue, "one") is None


async def test_only_the_present_attempt_tells_how_far_it_is(
    queue: JobQueue, new_queue, request_for_jobs: RestoreRequest
) -> None:
    first = await begin(queue, request_for_jobs, "one")
    await queue.report([(first, Progress(Stage.RESTORING, 2, 3))])
    await queue.release([first])
    waiting = await queue.get("one")
    assert waiting is not None
    assert (waiting.status, waiting.progress) == (JobStatus.QUEUED, None)
    other = new_queue()
    [second] = await other.start(await other.reserve(1))
    assert second is not None
    assert await progress_of(queue, "one") is None
    await queue.report([(first, Progress(Stage.STORING, 3, 3))])
    assert await progress_of(queue, "one") is None, "whoever was overtaken has nothing to say"
    await other.report([(second, Progress(Stage.PREPARING))])
    assert await progress_of(queue, "one") == Progress(Stage.PREPARING)


async def test_progress_does_not_bring_back_what_is_gone(
    queue: JobQueue, redis: Redis, request_for_jobs: RestoreRequest
) -> None:
    started = await begin(queue, request_for_jobs, "one")
    await queue.delete("one")
    await queue.report([(started, Progress(Stage.STORING, 1, 1))])
    assert await redis.exists("{refstar}:job:one") == 0
    await queue.report([])
