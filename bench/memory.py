"""Does anything grow? Memory of gateway, worker and Redis over thousands of restorations through the HTTP API.

.venv/bin/python bench/memory.py                     # 5,000 jobs with a small model: some minutes
.venv/bin/python bench/memory.py --jobs 500 --model  # with the shipped model and faces of 512 pixels

Real processes. Every job has a picture and a reference of its own; results are fetched, expire after ten seconds, and
their tombstones after ten more. Printed every tenth: resident memory in MiB, used_memory of Redis, its keys, and files
in the folder for temporary ones. Exit status 1 if gateway or worker lie more than GROWTH above the second fifth in the
last, or if anything is left in Redis after everything has expired: what it holds meanwhile follows the rate of jobs.
"""

import argparse
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
from redis import Redis

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from pictures import degraded_face, file_of, reference_face
from redis_process import RedisProcess
from refstar_service.settings import Settings
from small_model import SIDE, write_small_model

GROWTH = 0.08  # of the second fifth
EXPIRED_WITHIN = 60.0  # seconds; three times what results and tombstones live
LEFT = 11  # keys that a service keeps without jobs: streams, workers, who of them is idle and called, sums
AHEAD = 16  # jobs that wait or run at a time


@dataclass(frozen=True)
class Sample:
    gateway: float  # MiB
    worker: float  # MiB
    redis: float  # MiB
    keys: int
    files: int


@contextmanager
def running(command: str, settings: dict[str, str], log: Path) -> Iterator[int]:
    """The process id of one of the service's commands."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("REFSTAR_")} | settings
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "refstar_service.app.cli", command],
            env=environment,
            stdout=file,
            stderr=file,
        )
    try:
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def resident(pid: int) -> float:
    """MiB of a process's memory."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024


def pictures(number: int, shipped: bool) -> tuple[bytes, bytes]:
    """A picture and a reference that no other job has."""
    if shipped:
        return file_of(np.roll(degraded_face(), number, 1)), file_of(
            np.roll(reference_face(), number % 97, 0)
        )
    rng = np.random.default_rng(number)
    face, reference = rng.integers(0, 256, (2, SIDE, SIDE, 3), np.uint8)
    return file_of(face), file_of(reference)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=5000)
    parser.add_argument("--model", action="store_true", help="the shipped model instead of a small one")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        samples = list(_samples(folder, options.jobs, options.model, stack))
    fifth = len(samples) // 5
    bad = []
    for what in ("gateway", "worker"):
        early, late = (
            statistics.median(getattr(sample, what) for sample in part)
            for part in (samples[fifth : 2 * fifth], samples[-fifth:])
        )
        print(
            f"{what}: {early:.1f} MiB in the second fifth, {late:.1f} in the last ({late / early - 1:+.1%})"
        )
        if late > early * (1 + GROWTH):
            bad.append(what)
    last = samples[-1]
    print(f"redis after everything has expired: {last.redis:.1f} MiB, {last.keys} keys")
    if last.keys > LEFT:
        bad.append("redis")
    if last.files:
        bad.append("temporary files")
    print("grows:", ", ".join(bad) or "nothing")
    return 1 if bad else 0


def _samples(folder: Path, jobs: int, shipped: bool, stack: ExitStack) -> Iterator[Sample]:
    server = stack.enter_context(RedisProcess(folder / "redis", "--maxmemory", "512mb"))
    models = Settings().models_dir
    if not shipped:
        write_small_model(folder / "models")
        (folder / "models" / "detector").symlink_to(models / "detector")
        models = folder / "models"
    temporary = folder / "tmp"
    temporary.mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {
        "REFSTAR_REDIS_URL": server.url,
        "REFSTAR_MODELS_DIR": str(models),
        "REFSTAR_DATA_DIR": str(folder),
        "REFSTAR_PORT": str(port),
        "REFSTAR_RESULT_TTL": "10",
        "REFSTAR_EXPIRED_TTL": "10",
        # Full after some hundred references, so that a cache that fills is not taken for a leak.
        "REFSTAR_FEATURE_CACHE_BYTES": str(16 * 2**20),
        "TMPDIR": str(temporary),
    }
    gateway = stack.enter_context(running("gateway", settings, folder / "gateway.log"))
    worker = stack.enter_context(running("worker", settings, folder / "worker.log"))
    client = stack.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120))
    redis = stack.enter_context(Redis.from_url(server.url))
    while not _ready(client):
        time.sleep(0.1)

    def measured() -> Sample:
        return Sample(
            resident(gateway),
            resident(worker),
            redis.info("memory")["used_memory"] / 2**20,
            redis.dbsize(),
            sum(1 for path in temporary.rglob("*") if path.is_file()),
        )

    ahead: deque[str] = deque()
    began, every = time.monotonic(), max(1, jobs // 100)
    print("   jobs     s  gateway  worker  Redis  keys  files")
    for number in range(jobs):
        while len(ahead) >= AHEAD:
            _fetch(client, ahead.popleft())
        picture, reference = pictures(number, shipped)
        answer = client.post(
            "/v1/restorations",
            files=[("image", ("a.png", picture)), ("references", ("r.png", reference))],
            data={"faces": "aligned"},
        )
        answer.raise_for_status()
        ahead.append(answer.json()["links"]["self"])
        if (number + 1) % every == 0:
            sample = measured()
            yield sample
            if (number + 1) % (10 * every) == 0:
                print(
                    f"{number + 1:7} {time.monotonic() - began:5.0f} {sample.gateway:8.1f} {sample.worker:7.1f}"
                    f" {sample.redis:6.1f} {sample.keys:5} {sample.files:6}",
                    flush=True,
                )
    while ahead:
        _fetch(client, ahead.popleft())
    given_up = time.monotonic() + EXPIRED_WITHIN
    while redis.dbsize() > LEFT and time.monotonic() < given_up:
        time.sleep(0.5)
    print("left in Redis:", *sorted(key.decode() for key in redis.scan_iter())[: 2 * LEFT])
    yield measured()


def _ready(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False


def _fetch(client: httpx.Client, link: str) -> None:
    job = {"status": "queued"}
    while job["status"] in ("queued", "running"):
        job = client.get(link, headers={"Prefer": "wait=30"}).json()
    assert job["status"] in ("succeeded", "expired"), job
    if job["status"] == "succeeded":
        client.get(f"{link}/image")


if __name__ == "__main__":
    sys.exit(main())
