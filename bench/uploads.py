"""What one gateway takes on one core: uploads of 100 kB a second, its processor time for each, and its memory.

.venv/bin/python bench/uploads.py
.venv/bin/python bench/uploads.py --size 2000 --uploads 500

A gateway by itself, bound to one core where there are two; Redis, the client and a worker that restores nothing have
the other ones. That worker takes every job and ends it at once, pictures and all: what waits and what its results may
take is bounded by what Redis can hold, so without it a gateway would say 429 after some thousand uploads, as it should.
"""

import asyncio
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.synchronize import Event
from pathlib import Path

import numpy as np
from client import Connection, form
from refstar_service.app import event_loop as loop
from refstar_service.blobs import RedisBlobs
from refstar_service.jobs import JobFailure, JobQueue, JobStatus, Outcome
from refstar_service.redis.client import connect
from refstar_service.redis.embedded import EmbeddedRedis
from report import Cell, Report, Table, command, parser, publish, this_machine
from samples import Faces, add_option, faces, unlike
from stack import cpu_seconds, free_port, status_mib, until_ready

LARGEST_COMMENT = 65_000


def padded(file: bytes, size: int) -> bytes:
    """The JPEG with comments up to ``size`` bytes: pictures of any weight that are decoded alike."""
    while (lacking := size - len(file) - 4) > 0:
        comment = os.urandom(min(lacking, LARGEST_COMMENT))
        file = file[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + file[2:]
    return file


@contextmanager
def gateway(settings: dict[str, str]) -> Iterator[tuple[int, int]]:
    """Its port and process."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("REFSTAR_")}
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with log.open("w") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", "refstar_service.app.cli", "gateway"],
                env=kept | {f"REFSTAR_{k}": v for k, v in (settings | {"PORT": str(port)}).items()},
                stdout=errors,
                stderr=errors,
                text=True,
            )
        try:
            until_ready(f"http://127.0.0.1:{port}/healthz", process, log)
            yield port, process.pid
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def end_all(url: str, stop: Event) -> None:
    """Every job ends at once and leaves no picture behind, until ``stop``."""

    async def go() -> None:
        redis = connect(url)
        queue, blobs = JobQueue(redis), RedisBlobs(redis)
        failure = JobFailure("inference-failed", "it was only to be uploaded")
        outcome = Outcome(JobStatus.FAILED, None, failure, (), {})
        while not stop.is_set():
            started = [
                one for one in await queue.start(await queue.reserve(32, block=0.2)) if one is not None
            ]
            await queue.finish([(one, outcome) for one in started])
            await blobs.delete(*(one.request.image.key for one in started))
        await queue.aclose()
        await redis.aclose()

    loop.run(go())


@contextmanager
def ending(url: str) -> Iterator[None]:
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    process = context.Process(target=end_all, args=(url, stop))
    process.start()
    try:
        yield
    finally:
        stop.set()
        process.join(10)


async def upload_all(port: int, files: Faces, size: int, first: int, count: int, at_once: int) -> list[float]:
    """Seconds of each, from the first byte to the 202."""
    seconds: list[float] = []
    heavy = padded(files.degraded[0], size)
    numbers = iter(range(first, first + count))

    async def client() -> None:
        connection = Connection("127.0.0.1", port)
        for number in numbers:
            body = form({"faces": "aligned"}, [("image", unlike(heavy, number))])
            began = time.perf_counter()
            answer = await connection.post("/v1/restorations", body)
            if answer.status != 202:
                raise RuntimeError(f"answered {answer.status}: {answer.body[:300]!r}")
            seconds.append(time.perf_counter() - began)
        connection.close()

    await asyncio.gather(*(client() for _ in range(at_once)))
    return seconds


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--uploads", type=int, default=2000)
    made.add_argument("--size", type=int, default=100, help="kB of each")
    made.add_argument("--at-once", type=int, default=12, help="connections")
    made.add_argument("--rounds", type=int, default=3)
    add_option(made)
    options = made.parse_args()
    machine, files = this_machine(), faces(options)
    rows: list[tuple[Cell, ...]] = []
    own, *others = sorted(os.sched_getaffinity(0))
    if others:
        os.sched_setaffinity(0, others)  # Redis inherits it
    with (
        tempfile.TemporaryDirectory() as folder,
        EmbeddedRedis(Path(folder) / "redis", maxmemory_mb=1024) as redis,
        ending(redis.url),
    ):
        settings = {
            "REDIS_URL": redis.url,
            "DATA_DIR": folder,
            "LOG_LEVEL": "warning",
        }
        with gateway(settings) as (port, pid):
            os.sched_setaffinity(pid, {own})
            for task in Path(f"/proc/{pid}/task").iterdir():
                os.sched_setaffinity(int(task.name), {own})
            asyncio.run(upload_all(port, files, 1000 * options.size, 0, 100, options.at_once))
            for number in range(options.rounds):
                before, began = cpu_seconds(pid), time.perf_counter()
                first = 100 + number * options.uploads
                seconds = asyncio.run(
                    upload_all(port, files, 1000 * options.size, first, options.uploads, options.at_once)
                )
                took = time.perf_counter() - began
                used = 1000 * (cpu_seconds(pid) - before) / options.uploads
                p50, p99 = (1000 * float(np.percentile(seconds, p)) for p in (50, 99))
                rows.append((number + 1, options.uploads / took, used, p50, p99, status_mib(pid, "VmHWM")))
    columns = (
        "round",
        "uploads/s",
        "processor time each, ms",
        "p50, ms",
        "p99, ms",
        "gateway's most memory, MiB",
    )
    publish(
        Report(command("uploads", options, made), (Table("uploads", columns, tuple(rows)),)), machine, options
    )


if __name__ == "__main__":
    main()
