"""The queue alone: jobs per second through an embedded Redis, without pictures, HTTP and model.

.venv/bin/python bench/job_queue.py
.venv/bin/python bench/job_queue.py --jobs 20000 --batch 1 8 64

Each step for itself, by one process: submit (so many at once as a busy gateway has), reserve, start, finish. Then all
at once, as in the service: one process submits, another reserves, starts and finishes.
"""

import asyncio
import multiprocessing
import tempfile
import time
from multiprocessing.synchronize import Barrier
from pathlib import Path
from uuid import uuid4

import numpy as np
from refstar_service.app import event_loop as loop
from refstar_service.faces.select import FaceMode
from refstar_service.jobs import (
    JobQueue,
    JobResult,
    JobStatus,
    Outcome,
    Reservation,
    RestoreRequest,
    StoredFile,
)
from refstar_service.redis.client import connect
from refstar_service.redis.embedded import EmbeddedRedis
from refstar_service.restoration.knobs import Knobs
from refstar_service.restoration.report import FaceAction, FaceReport
from report import Cell, Report, Table, command, parser, publish, this_machine


def a_request() -> RestoreRequest:
    """Of the usual size: a picture, one reference."""
    picture, reference = (
        StoredFile(f"job/{name}", "ab" * 32, "image/jpeg", 24_000, f"{name}.jpg")
        for name in ("image", "reference")
    )
    return RestoreRequest(picture, (reference,), "refstar", Knobs(FaceMode.ALIGNED), request_id=uuid4().hex)


def an_outcome() -> Outcome:
    result = JobResult(StoredFile("job/result", "cd" * 32, "image/jpeg", 90_000, "image.jpg"), None)
    face = FaceReport((0.0, 0.0, 512.0, 512.0), 1.0, FaceAction.RESTORED, None, (0.4,))
    stages = ("fetch", "decode", "detect", "infer", "review", "paste", "encode", "store")
    return Outcome(JobStatus.SUCCEEDED, result, None, (face,), dict.fromkeys(stages, 0.0123))


async def submit_all(queue: JobQueue, count: int, at_once: int) -> None:
    left = iter(range(count))
    request = a_request()

    async def client() -> None:
        for _ in left:
            await queue.submit(uuid4().hex, request)

    await asyncio.gather(*(client() for _ in range(at_once)))


async def steps(url: str, count: int, batch: int, at_once: int) -> dict[str, float]:
    """Jobs per second of each step and of all one after another, in one process."""
    redis = connect(url)
    queue = JobQueue(redis, limit=2 * count)
    outcome, moments = an_outcome(), [time.perf_counter()]
    await submit_all(queue, count, at_once)
    moments.append(time.perf_counter())
    reserved: list[Reservation] = []
    while len(reserved) < count:
        reserved += await queue.reserve(batch)
    moments.append(time.perf_counter())
    started = []
    for first in range(0, count, batch):
        started += await queue.start(reserved[first : first + batch])
    moments.append(time.perf_counter())
    for first in range(0, count, batch):
        kept = await queue.finish(
            [(one, outcome) for one in started[first : first + batch] if one is not None]
        )
        assert all(kept)
    moments.append(time.perf_counter())
    await queue.aclose()
    await redis.aclose()
    took = np.diff(moments)
    names = ("submit", "reserve", "start", "finish")
    return {name: count / float(s) for name, s in zip(names, took, strict=True)} | {
        "all": count / float(took.sum())
    }


def producer(url: str, count: int, at_once: int, ready: Barrier) -> None:
    async def go() -> None:
        redis = connect(url)
        queue = JobQueue(redis, limit=2 * count)
        await queue.setup()
        await asyncio.to_thread(ready.wait)
        await submit_all(queue, count, at_once)
        await queue.aclose()
        await redis.aclose()

    loop.run(go())


async def work(url: str, count: int, batch: int, ready: Barrier) -> float:
    """Seconds until ``count`` jobs that the producer submits meanwhile are finished."""
    redis = connect(url)
    queue = JobQueue(redis, limit=2 * count)
    await queue.setup()
    outcome, done = an_outcome(), 0
    await asyncio.to_thread(ready.wait)
    began = time.perf_counter()
    while done < count:
        started = await queue.start(await queue.reserve(batch))
        kept = await queue.finish([(one, outcome) for one in started if one is not None])
        done += sum(kept)
    took = time.perf_counter() - began
    await queue.aclose()
    await redis.aclose()
    return took


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--jobs", type=int, default=5000)
    made.add_argument("--batch", type=int, nargs="+", default=[1, 8, 32, 64], help="jobs reserved at a time")
    made.add_argument("--at-once", type=int, default=32, help="submissions under way")
    made.add_argument("--rounds", type=int, default=3)
    options = made.parse_args()
    machine = this_machine()
    rows: list[tuple[Cell, ...]] = []
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        for batch in options.batch:
            alone: list[dict[str, float]] = []
            together: list[float] = []
            for number in range(options.rounds):
                # A server of its own for each round: the last one's finished jobs are kept for an hour.
                with EmbeddedRedis(Path(folder) / f"{batch}-{number}-alone", maxmemory_mb=1024) as redis:
                    alone.append(loop.run(steps(redis.url, options.jobs, batch, options.at_once)))
                with EmbeddedRedis(Path(folder) / f"{batch}-{number}", maxmemory_mb=1024) as redis:
                    ready = context.Barrier(2)
                    arguments = (redis.url, options.jobs, options.at_once, ready)
                    other = context.Process(target=producer, args=arguments)
                    other.start()
                    together.append(options.jobs / loop.run(work(redis.url, options.jobs, batch, ready)))
                    other.join()
            medians = [float(np.median([one[step] for one in alone])) for step in alone[0]]
            rows.append((batch, *medians, float(np.median(together))))
    columns = (
        "batch",
        "submit, 1/s",
        "reserve, 1/s",
        "start, 1/s",
        "finish, 1/s",
        "all, one process, 1/s",
        "all, two processes, 1/s",
    )
    publish(
        Report(command("job_queue", options, made), (Table("queue", columns, tuple(rows)),)), machine, options
    )


if __name__ == "__main__":
    main()
