"""How time and memory grow: with references, faces in a picture, megapixels, and jobs in the queue.

.venv/bin/python bench/growth.py
.venv/bin/python bench/growth.py --only faces megapixels --times 5

Pictures: the worker's steps (prepare, restore, compose) in this process; memory is the most that it held above what it
held before, on Linux. Queue: so many jobs wait in an embedded Redis, and on top of them jobs come and go.
"""

import argparse
import asyncio
import ctypes
import hashlib
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from uuid import uuid4

import numpy as np
from bare import add_model_options
from job_queue import a_request, an_outcome, submit_all
from refstar_service.engine.manifest import load_manifest
from refstar_service.engine.session import Provider
from refstar_service.faces.detect import load_detector
from refstar_service.faces.select import FaceMode
from refstar_service.images import ImageLimits
from refstar_service.jobs import JobQueue
from refstar_service.redis.client import connect
from refstar_service.redis.embedded import EmbeddedRedis
from refstar_service.restoration.knobs import Knobs
from refstar_service.restoration.references import ReferenceMemory
from refstar_service.restoration.steps import Model, Viewer, compose, prepare
from refstar_service.restoration.upload import Upload
from refstar_service.settings import Settings
from report import Cell, Report, Table, command, parser, publish, this_machine
from restoring import Restoring
from samples import Faces, faces, jpeg, photograph
from stack import status_mib

REFERENCES = (0, 1, 2, 4, 8)
FACES = (1, 2, 4, 8, 16, 32)
MEGAPIXELS = (0.5, 1.0, 2.0, 5.0, 12.0, 25.0, 50.0)
QUEUE = (10, 100, 1_000, 10_000, 100_000)
PROBE = 200  # jobs that come and go on top of those that wait
BATCH = 8

Row = tuple[Cell, ...]


@dataclass(frozen=True)
class Found:
    seconds: float
    mib: float
    restored: int


@dataclass(frozen=True)
class Steps:
    """The worker's own, without queue and blobs."""

    restoring: Restoring
    model: Model
    viewer: Viewer
    times: int

    def measure(self, image: bytes, references: Callable[[], list[bytes]], *, aligned: bool) -> Found:
        """The median time; the memory of the last time."""
        seconds, mib, restored = [], 0.0, 0
        for _ in range(self.times + 1):
            picture, known = _upload(image), [_upload(one) for one in references()]
            before = _memory_now()
            began = time.perf_counter()
            restored = self.restore(picture, known, aligned)
            seconds.append(time.perf_counter() - began)
            mib = status_mib("self", "VmHWM") - before
        return Found(float(np.median(seconds[1:])), mib, restored)

    def restore(self, picture: Upload, references: list[Upload], aligned: bool) -> int:
        knobs = Knobs(FaceMode.ALIGNED if aligned else FaceMode.ALL)
        prepared = prepare(picture, references, knobs, self.model, self.viewer)
        restored = self.restoring.restore(prepared.tasks)
        compose(prepared, restored)
        return len(restored)


def by_references(steps: Steps, files: Faces) -> list[Row]:
    rows: list[Row] = []
    for count in REFERENCES:
        new, known = (
            steps.measure(files.degraded[0], partial(_references, files, numbers), aligned=True)
            for numbers in (partial(_new_numbers, count), partial(range, count))
        )
        rows.append((count, 1000 * new.seconds, 1000 * known.seconds, new.mib, known.mib))
    return rows


def _references(files: Faces, numbers: Callable[[], Iterable[int]]) -> list[bytes]:
    return [files.reference(number) for number in numbers()]


def _new_numbers(count: int) -> list[int]:
    return [uuid4().int % 10**15 for _ in range(count)]


def by_faces(steps: Steps, files: Faces) -> list[Row]:
    rows: list[Row] = []
    for count in FACES:
        image = jpeg(photograph(12, count, files.references[0]))
        found = steps.measure(image, list, aligned=False)
        rows.append((count, found.restored, found.seconds, 1000 * found.seconds / count, found.mib))
    return rows


def by_megapixels(steps: Steps, files: Faces) -> list[Row]:
    rows: list[Row] = []
    for megapixels in MEGAPIXELS:
        image = jpeg(
            photograph(megapixels - 0.01, 1, files.references[0])
        )  # the limit is for its very pixels
        found = steps.measure(image, list, aligned=False)
        rows.append((megapixels, len(image) / 1e6, found.restored, found.seconds, found.mib))
    return rows


async def with_waiting(url: str, waiting: int) -> Row:
    """What a job costs while ``waiting`` others wait."""
    redis = connect(url)
    queue = JobQueue(redis, limit=waiting + 2 * PROBE)
    await queue.setup()
    # What connections and scripts take is there before, or it would count as the jobs'.
    await asyncio.gather(*(redis.ping() for _ in range(32)))
    await submit_all(queue, 1, 1)
    empty = (await redis.info("memory"))["used_memory"]
    await submit_all(queue, waiting - 1, 32)
    full = (await redis.info("memory"))["used_memory"]

    moments = [time.perf_counter()]
    ids = [uuid4().hex for _ in range(PROBE)]
    for job_id in ids:
        await queue.submit(job_id, a_request())
    moments.append(time.perf_counter())
    done = 0
    while done < PROBE:
        started = await queue.start(await queue.reserve(BATCH))
        done += sum(await queue.finish([(one, an_outcome()) for one in started if one is not None]))
    moments.append(time.perf_counter())
    for job_id in ids:
        await queue.position(job_id)
    moments.append(time.perf_counter())
    await queue.survey()
    moments.append(time.perf_counter())
    await queue.aclose()
    await redis.aclose()
    took = 1000 * np.diff(moments)
    per_job = [float(milliseconds) / PROBE for milliseconds in took[:3]]
    return (waiting, *per_job, float(took[3]), (full - empty) / (waiting - 1) / 1024)


def by_queue(longest: int) -> list[Row]:
    rows = []
    for waiting in (length for length in QUEUE if length <= longest):
        with tempfile.TemporaryDirectory() as folder, EmbeddedRedis(Path(folder), maxmemory_mb=2048) as redis:
            rows.append(asyncio.run(with_waiting(redis.url, waiting)))
    return rows


def _upload(data: bytes) -> Upload:
    return Upload("", data, hashlib.sha256(data).hexdigest())


def _memory_now() -> float:
    """MiB; from here on the most is counted anew, and what was freed before is given back."""
    if sys.platform != "linux":
        raise RuntimeError("memory is read from /proc: Linux only")
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return status_mib("self", "VmRSS")


COLUMNS = {
    "references": ("references", "new ones, ms", "known ones, ms", "new ones, MiB", "known ones, MiB"),
    "faces": ("faces in 12 megapixels", "restored", "s", "ms per face", "MiB"),
    "megapixels": ("megapixels", "JPEG, MB", "restored", "s", "MiB"),
    "queue": (
        "jobs that wait",
        "submit, ms",
        "reserve, start, finish, ms",
        "position, ms",
        "survey, ms",
        "KiB a job",
    ),
}


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--only", nargs="+", choices=tuple(COLUMNS), default=list(COLUMNS))
    made.add_argument("--times", type=int, default=5, help="restorations of each kind; the median counts")
    made.add_argument("--longest", type=int, default=QUEUE[-1], help="jobs in the longest queue")
    add_model_options(made)
    options = made.parse_args()
    machine = this_machine()
    measures: dict[str, Callable[[], list[Row]]] = {"queue": lambda: by_queue(options.longest)}
    if set(options.only) - {"queue"}:
        steps, files = _steps(options), faces(options)
        measures |= {
            "references": lambda: by_references(steps, files),
            "faces": lambda: by_faces(steps, files),
            "megapixels": lambda: by_megapixels(steps, files),
        }
    tables = tuple(Table(f"growth-{name}", COLUMNS[name], tuple(measures[name]())) for name in options.only)
    publish(Report(command("growth", options, made), tables), machine, options)


def _steps(options: argparse.Namespace) -> Steps:
    settings, manifest = Settings(), load_manifest(options.model)
    restoring = Restoring(options.model, Provider(options.provider), settings)
    detector = load_detector(options.model.parent, None, restoring.budget.detector)
    viewer = Viewer(detector, ReferenceMemory(), ImageLimits(max_bytes=64 << 20))
    return Steps(restoring, Model(restoring.restorer, manifest.input_size), viewer, options.times)


if __name__ == "__main__":
    main()
