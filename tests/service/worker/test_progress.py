"""What a worker tells of the jobs that it is at."""

import asyncio
import threading
from collections.abc import Sequence

import pytest
from inverting import Inverting
from known_faces import KnownFaces, astronauts
from pictures import file_of
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from refstar_service.engine.restorer import FaceTask
from refstar_service.jobs import JobQueue, JobStatus, Progress, RestoreRequest, Stage
from refstar_service.worker.progress import REPORT_EVERY, ProgressReports
from refstar_service.worker.work import Work
from worker_bench import Bench


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def work(queue: JobQueue, request_for_jobs: RestoreRequest) -> Work:
    await queue.submit("one", request_for_jobs)
    [started] = await queue.start(await queue.reserve(1))
    assert started is not None
    return Work(started)


async def count_scripts(redis: Redis) -> int:
    return int((await redis.info("commandstats")).get("cmdstat_evalsha", {"calls": 0})["calls"])


async def test_a_job_that_ends_soon_costs_nothing_and_a_change_is_told_once(
    queue: JobQueue, redis: Redis, work: Work
) -> None:
    clock, begun = Clock(), {"one"}
    reports = ProgressReports(queue, lambda: begun, clock)
    await queue.report([(work.started, Progress(Stage.PREPARING))])  # loads the script
    await redis.config_resetstat()
    reports.follow([work])
    await reports.report()
    assert await count_scripts(redis) == 0
    clock.now = REPORT_EVERY
    await reports.report()
    await reports.report()
    assert await count_scripts(redis) == 1
    work.faces_found = 2
    await reports.report()
    assert await count_scripts(redis) == 2
    job = await queue.get("one")
    assert job is not None
    assert job.progress == Progress(Stage.RESTORING, 0, 2)
    begun.clear()
    work.faces_found = 3
    await reports.report()
    assert await count_scripts(redis) == 2


async def test_what_cannot_be_told_is_told_later(
    queue: JobQueue, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    reports = ProgressReports(queue, lambda: {"one"}, clock)
    reports.follow([work])
    clock.now = 1.0

    async def fail(progresses: object) -> None:
        raise RedisConnectionError("away")

    with monkeypatch.context() as away:
        away.setattr(queue, "report", fail)
        await reports.report()
    await reports.report()
    job = await queue.get("one")
    assert job is not None
    assert job.progress == Progress(Stage.PREPARING)


async def test_whoever_watches_a_group_photograph_sees_face_after_face(redis: Redis) -> None:
    go_on = threading.Semaphore(0)

    def wait(tasks: Sequence[FaceTask]) -> None:
        assert go_on.acquire(timeout=10)

    picture, faces = astronauts(3)
    detector = KnownFaces({(1536, 512): faces})
    bench = Bench(redis, Inverting(wait), detector=detector, faces_at_once=1)
    await bench.submit("group", file_of(picture), faces="all")
    seen: list[Progress | None] = []
    async with bench.working(), bench.queue.watch("group") as changed:
        while True:
            await asyncio.wait_for(changed.wait(), 10)
            changed.clear()
            job = await bench.queue.get("group")
            assert job is not None
            if job.status.terminal:
                break
            if job.progress not in seen:
                seen.append(job.progress)
                if job.progress is not None and job.progress.stage is Stage.RESTORING:
                    go_on.release()
    assert job.status is JobStatus.SUCCEEDED
    assert job.progress is None
    restoring = [one for one in seen if one is not None and one.stage is Stage.RESTORING]
    assert restoring == [Progress(Stage.RESTORING, done, 3) for done in range(3)]
