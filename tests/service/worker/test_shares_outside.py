"""Servers outside that hang, named by one key: the jobs of others go on. A worker on a real Redis, real servers."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from file_server import FileServer, serve_files
from inverting import Inverting
from pictures import file_of
from redis.asyncio import Redis
from refstar_service.images import ImageLimits
from refstar_service.jobs import EnrollRequest, JobQueue, JobStatus, RemoteFile
from refstar_service.outgoing.carrier import Carrier
from refstar_service.outgoing.connection import Dialer
from refstar_service.outgoing.endpoint import Reach, parse_networks
from refstar_service.worker.aside import Aside
from refstar_service.worker.transfers import Transfers
from worker_bench import SIZE, Bench

HERE = Reach(parse_networks("127.0.0.0/8"), (range(1, 65_536),), "REFSTAR_URL")
FACE = file_of(np.full((SIZE, SIZE, 3), 9, np.uint8))
SLOTS = 4
SOON = 5.0  # seconds; whoever waits for a hanging server waits for TIMEOUT
TIMEOUT = 60.0


def bench_on(redis: Redis, timeout: float = TIMEOUT) -> Bench:
    limits = ImageLimits(max_bytes=100_000, max_pixels=100 * 100)
    carrier = Carrier(Dialer(HERE), redirects=3, pauses=(0.01, 0.01))
    transfers = Transfers(carrier, limits, most_bytes=10_000_000, timeout=timeout)
    return Bench(redis, Inverting(), transfers=transfers, transfers_at_once=SLOTS)


@pytest.fixture
async def server() -> AsyncIterator[FileServer]:
    async with serve_files(face=FACE) as server:
        server.answers["/hangs"] = [b""]
        yield server


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(SOON):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def ended_soon(bench: Bench, *names: str) -> list[JobStatus]:
    async with asyncio.timeout(SOON):
        return [(await bench.ended(name)).status for name in names]


async def count_running(bench: Bench, name: str, count: int) -> int:
    jobs = [await bench.queue.get(f"{name}{number}") for number in range(count)]
    return sum(job is not None and job.status is JobStatus.RUNNING for job in jobs)


async def test_hanging_servers_of_one_key_leave_places_to_the_others(
    redis: Redis, server: FileServer
) -> None:
    bench = bench_on(redis)
    for number in range(20):
        await bench.submit_urls(f"slow{number}", server.url("/hangs"), owner="anna")
    async with bench.working():
        await until(lambda: server.open_now == SLOTS // 2)
        await asyncio.sleep(0.5)  # all that Anna has at most is here
        for number in range(6):
            await bench.submit_urls(f"far{number}", server.url("/face"), owner="ben")
            await bench.submit(f"near{number}", FACE, owner="carla")
        names = [f"{kind}{number}" for kind in ("far", "near") for number in range(6)]
        assert await ended_soon(bench, *names) == [JobStatus.SUCCEEDED] * 12
        assert server.open_now == SLOTS // 2
        for number in range(20):
            await bench.queue.cancel(f"slow{number}")
        names = [f"slow{number}" for number in range(20)]
        assert await ended_soon(bench, *names) == [JobStatus.CANCELED] * 20


async def test_hanging_receivers_of_one_key_leave_places_to_the_others(
    redis: Redis, server: FileServer
) -> None:
    bench = bench_on(redis)
    for number in range(20):
        await bench.submit(f"slow{number}", FACE, owner="anna", output_url=server.url("/hangs"))
    async with bench.working():
        await until(lambda: server.open_now == SLOTS // 2)
        for number in range(6):
            await bench.submit(f"far{number}", FACE, owner="ben", output_url=server.url(f"/out{number}"))
            await bench.submit(f"near{number}", FACE, owner="carla")
        names = [f"{kind}{number}" for kind in ("far", "near") for number in range(6)]
        assert await ended_soon(bench, *names) == [JobStatus.SUCCEEDED] * 12
        assert server.open_now == SLOTS // 2


async def test_in_open_mode_all_places_are_for_everybody_and_more_wait_in_the_queue(
    redis: Redis, server: FileServer
) -> None:
    bench = bench_on(redis)
    for number in range(20):
        await bench.submit_urls(f"slow{number}", server.url("/hangs"))
    async with bench.working():
        await until(lambda: server.open_now == SLOTS)
        async with asyncio.timeout(SOON):
            while await count_running(bench, "slow", 20) < 2 * SLOTS:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.5)
        jobs = [await bench.queue.get(f"slow{number}") for number in range(20)]
        assert [job.status is JobStatus.RUNNING for job in jobs if job] == [True] * 8 + [False] * 12


async def test_jobs_beyond_the_share_of_their_key_are_done_and_no_attempt_is_lost(
    redis: Redis, server: FileServer
) -> None:
    bench = bench_on(redis)
    server.pause = 0.02
    for number in range(30):
        out = server.url(f"/out{number}") if number % 2 else ""
        await bench.submit_urls(f"job{number}", server.url("/face"), owner="anna", output_url=out)
    async with bench.working():
        ended = [await bench.ended(f"job{number}") for number in range(30)]
    assert {(job.status, job.attempts) for job in ended} == {(JobStatus.SUCCEEDED, 1)}
    assert bench.metrics.job_queue_duration._sum.get() > 0
    assert bench.metrics.jobs_finished.labels("succeeded", "", "refstar")._value.get() == 30


async def test_people_whose_pictures_hang_go_back_into_the_queue_as_well(
    redis: Redis, server: FileServer
) -> None:
    bench = bench_on(redis)
    hanging = EnrollRequest((RemoteFile(server.url("/hangs"), "a.png"),))
    for number in range(12):
        await bench.queue.submit(f"person{number}", hanging, owner="anna")
    async with bench.working():
        await until(lambda: server.open_now == SLOTS // 2)
        await asyncio.sleep(0.5)
        await bench.submit("near", FACE, owner="ben")
        assert await ended_soon(bench, "near") == [JobStatus.SUCCEEDED]
        # The worker of a busy machine may have looked at few of them by now.
        async with asyncio.timeout(SOON):
            while await count_running(bench, "person", 12) > SLOTS // 2 + SLOTS + 1:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


async def test_a_job_that_is_tried_again_sends_back_what_waits_for_a_place(
    redis: Redis, server: FileServer
) -> None:
    bench = bench_on(redis, timeout=2)
    dead = JobQueue(redis, stale_after=0.2, worker="dead")
    await bench.submit("suspect", FACE, owner="ben")
    assert await dead.start(await dead.reserve(1))  # a worker that dies here
    for number in range(5):
        await bench.submit_urls(f"slow{number}", server.url("/hangs"), owner="anna")
    bench.queue.stale_after = 60
    async with bench.working():
        await until(lambda: server.open_now == SLOTS // 2 and len(bench.worker.holdings.begun) == 5)
        bench.queue.stale_after = 0.2
        await until(lambda: len(bench.worker.holdings.begun) == SLOTS // 2)
        assert await ended_soon(bench, "suspect") == [JobStatus.SUCCEEDED]
    await dead.aclose()


async def test_a_worker_that_ends_gives_back_what_waits_for_a_place(redis: Redis, server: FileServer) -> None:
    bench = bench_on(redis)
    for number in range(10):
        await bench.submit_urls(f"slow{number}", server.url("/hangs"), owner="anna")
    async with bench.working():
        await until(lambda: server.open_now == SLOTS // 2)
        began = time.monotonic()
        bench.stopping.set()
    assert time.monotonic() - began < SOON
    other = JobQueue(redis)
    left = [await other.get(f"slow{number}") for number in range(10)]
    assert {(job.status, job.attempts) for job in left if job} == {(JobStatus.QUEUED, 0)}
    assert len(await other.reserve(10)) == 10
    await other.aclose()


@pytest.mark.parametrize(
    ("most", "comers", "have"),
    [
        (16, "a" * 20, {"a": 8}),
        (16, "a" * 20 + "b" * 20, {"a": 8, "b": 4}),
        (16, "ab" * 20, {"a": 6, "b": 5}),
        (16, "a" * 20 + "b" * 20 + "c" * 20 + "d" * 20, {"a": 8, "b": 4, "c": 2, "d": 1}),
        (2, "aaab", {"a": 1, "b": 1}),
        (1, "ab", {"a": 1}),
        (3, "....", {".": 3}),
    ],
)
async def test_an_owner_has_as_many_places_as_are_left_for_others(
    most: int, comers: str, have: dict[str, int]
) -> None:
    aside, done = Aside(most), asyncio.Event()

    async def wait() -> None:
        await done.wait()

    for owner in comers.replace(".", "_"):
        name = "" if owner == "_" else owner
        work: Any = SimpleNamespace(owner=name)
        if aside.has_place(name):
            aside.begin(work, wait())
    done.set()
    owners = [work.owner or "." for work in await aside.end()]
    assert {owner: owners.count(owner) for owner in owners} == have


async def test_a_delivery_that_breaks_without_a_fault_of_its_job_ends_the_worker(
    redis: Redis, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unseen, it would hold its job for as long as the worker lives: heartbeats keep it from all others."""

    async def fail(works: object) -> None:
        raise RuntimeError("not foreseen")

    bench = bench_on(redis)
    monkeypatch.setattr(bench.worker, "_end_jobs", lambda works: fail(works) if works else asyncio.sleep(0))
    await bench.submit("far", FACE, output_url=server.url("/put"))
    with pytest.raises(RuntimeError, match="not foreseen"):
        async with asyncio.timeout(SOON):
            await bench.worker.run(bench.stopping)
    await bench.queue.aclose()
