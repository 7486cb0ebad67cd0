"""A worker whose picture store is full or away: jobs fail and say so, and the worker ends when it is told to."""

import asyncio
import errno
import os
import time
from pathlib import Path

import numpy as np
import pytest
from inverting import Inverting
from pictures import file_of
from redis.asyncio import Redis
from refstar_service.blobs import BlobsUnavailableError, DirectoryBlobs
from refstar_service.jobs import JobStatus
from refstar_service.worker import patience
from worker_bench import SIZE, Bench

PICTURE = file_of(np.full((SIZE, SIZE, 3), 100, np.uint8))


def fill_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on nothing new can be written, as on a real disk that is full."""

    def fsync(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)


async def test_a_job_whose_result_finds_no_room_fails_and_says_so(
    redis: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "FULL_PATIENCE", 0.2)
    bench = Bench(redis, Inverting(), blobs=DirectoryBlobs(tmp_path))
    await bench.submit("job", PICTURE, [PICTURE])
    fill_disk(monkeypatch)
    async with bench.working():
        job = await bench.ended("job")
    assert job.status is JobStatus.FAILED
    assert job.failure is not None
    assert job.failure.code == "storage-full"
    assert not [path for path in tmp_path.rglob("*") if path.is_file()], "its uploads went too"


async def test_a_disk_that_has_room_again_in_time_costs_nobody_a_job(
    redis: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(redis, Inverting(), blobs=DirectoryBlobs(tmp_path))
    await bench.submit("job", PICTURE)
    async with bench.working():
        with monkeypatch.context() as full:
            fill_disk(full)
            await asyncio.sleep(0.7)
            assert (await bench.queue.wait("job", 0)).status is JobStatus.RUNNING  # type: ignore[union-attr]
        assert (await bench.ended("job")).status is JobStatus.SUCCEEDED


async def test_a_worker_that_is_told_to_stop_does_not_wait_for_a_store_that_is_away(
    redis: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> None:
        raise BlobsUnavailableError("away")

    bench = Bench(redis, Inverting(), blobs=DirectoryBlobs(tmp_path))
    await bench.submit("job", PICTURE)
    monkeypatch.setattr(DirectoryBlobs, "put", away)
    working = asyncio.create_task(bench.worker.run(bench.stopping))
    await asyncio.sleep(1)
    told = time.monotonic()
    bench.stopping.set()
    await asyncio.wait_for(working, 10)
    assert time.monotonic() - told < 6
    job = await bench.queue.get("job")
    assert job is not None
    assert (job.status, job.attempts) == (JobStatus.QUEUED, 0), "given back, for another worker"
    await bench.queue.aclose()
