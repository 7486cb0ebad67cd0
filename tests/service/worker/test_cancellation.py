"""A job that its owner cancels or deletes while a worker has it: nothing of it is left, and it is counted once."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest
from file_server import serve_files
from inverting import Inverting
from known_faces import KnownFaces, astronauts
from pictures import file_of
from redis.asyncio import Redis
from refstar_service.blobs import DirectoryBlobs
from refstar_service.blobs.ledger import Ledger, StoredBytes
from refstar_service.engine.restorer import FaceTask
from refstar_service.faces.select import FaceMode
from refstar_service.images import ImageLimits
from refstar_service.jobs import Attempt, JobQueue, RemoteFile, Reservation, RestoreRequest, StoredFile
from refstar_service.outgoing.carrier import Carrier
from refstar_service.outgoing.connection import Dialer
from refstar_service.outgoing.endpoint import Reach, parse_networks
from refstar_service.restoration.knobs import Knobs
from refstar_service.worker.transfers import Transfers
from worker_bench import Bench, picture

HERE = Reach(parse_networks("127.0.0.0/8"), (range(1, 65_536),), "REFSTAR_URL")
PIXELS, FACES = astronauts(4)


async def cancel(bench: Bench) -> None:
    await bench.queue.cancel("job")


async def delete(bench: Bench) -> None:
    """As a gateway does it."""
    await bench.queue.delete("job")
    await bench.blobs.delete("job/0", "job/1")


End = Callable[[Bench], Awaitable[None]]
ENDS = {"canceled": cancel, "deleted": delete}
every_end = pytest.mark.parametrize("outcome", ENDS)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def bench_in(folder: Path, redis: Redis, restorer: Inverting) -> Bench:
    """It hears soon of what owners do to their jobs, and keeps pictures where all that are left can be seen."""
    carrier = Carrier(Dialer(HERE), redirects=0, pauses=())
    bench = Bench(
        redis,
        restorer,
        KnownFaces({(PIXELS.shape[1], PIXELS.shape[0]): FACES}),
        faces_at_once=1,
        blobs=DirectoryBlobs(folder),
        transfers=Transfers(carrier, ImageLimits(), most_bytes=2**24, timeout=20),
    )
    bench.queue.stale_after = 0.3
    return bench


async def end_and_check(bench: Bench, folder: Path, outcome: str, go_on: Callable[[], object] = bool) -> None:
    """Its owner ends it; `go_on` lets the worker go on once that knows of it."""
    assert list(folder.glob("??/*"))
    await ENDS[outcome](bench)
    await until(lambda: bench.worker.holdings.is_unwanted("job") or not bench.worker.holdings.held)
    go_on()
    await check_ended(bench, folder, outcome)


async def check_ended(bench: Bench, folder: Path, outcome: str) -> None:
    counted = bench.metrics.jobs_finished
    await until(lambda: counted.labels(outcome, "", "")._value.get() + _of_model(bench, outcome) > 0)
    await until(lambda: not list(folder.glob("??/*")))
    assert not bench.worker.holdings.held
    samples = [one for one in counted.collect()[0].samples if one.value and one.name.endswith("_total")]
    assert [(one.labels["outcome"], one.value) for one in samples] == [(outcome, 1)]
    assert await Ledger(bench.redis).totals() == StoredBytes(0, 0, 0, 0)
    assert sum((await bench.queue.depth()).values()) == 0


def _of_model(bench: Bench, outcome: str) -> float:
    value: float = bench.metrics.jobs_finished.labels(outcome, "", "refstar")._value.get()
    return value


@every_end
async def test_while_its_faces_are_at_the_model(redis: Redis, tmp_path: Path, outcome: str) -> None:
    loop, begun, go_on = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()

    def wait(tasks: Sequence[FaceTask]) -> None:
        loop.call_soon_threadsafe(begun.set)
        asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result()

    bench = bench_in(tmp_path, redis, Inverting(wait))
    await bench.submit("job", file_of(PIXELS, ".png"), faces="all")
    async with bench.working():
        await begun.wait()
        await end_and_check(bench, tmp_path, outcome, go_on.set)


@every_end
async def test_when_its_last_face_is_through(redis: Redis, tmp_path: Path, outcome: str) -> None:
    loop = asyncio.get_running_loop()

    def end_it(tasks: Sequence[FaceTask]) -> None:
        asyncio.run_coroutine_threadsafe(ENDS[outcome](bench), loop).result()

    bench = bench_in(tmp_path, redis, Inverting(end_it))
    bench.queue.stale_after = 30  # no heartbeat tells the worker before
    await bench.submit("job", picture(3))
    async with bench.working():
        await check_ended(bench, tmp_path, outcome)


@every_end
async def test_while_its_picture_is_on_its_way(redis: Redis, tmp_path: Path, outcome: str) -> None:
    bench = bench_in(tmp_path, redis, Inverting())
    async with serve_files() as server:
        server.answers["/hangs"] = [b""]
        data = picture(4)
        near = StoredFile("job/1", hashlib.sha256(data).hexdigest(), "image/png", len(data), "near.png")
        await bench.blobs.put(near.key, data, 60)
        far = RemoteFile(server.url("/hangs"), "far.png")
        await bench.queue.submit("job", RestoreRequest(far, (near,), "refstar", Knobs(FaceMode.ALIGNED)))
        async with bench.working():
            await until(lambda: server.open_now == 1)
            await end_and_check(bench, tmp_path, outcome)


@every_end
async def test_while_its_result_is_on_its_way(redis: Redis, tmp_path: Path, outcome: str) -> None:
    bench = bench_in(tmp_path, redis, Inverting())
    async with serve_files() as server:
        server.answers["/out"] = [b""]
        await bench.submit("job", picture(3), output_url=server.url("/out"))
        async with bench.working():
            await until(lambda: server.open_now == 1)
            await end_and_check(bench, tmp_path, outcome)


@every_end
@pytest.mark.parametrize("back", ["for another version", "without a place outside"])
async def test_when_it_is_put_back_into_the_queue(
    redis: Redis, tmp_path: Path, outcome: str, back: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = bench_in(tmp_path, redis, Inverting())
    await bench.submit("job", picture(3))
    start = bench.queue.start

    async def start_and_end(reservations: Sequence[Reservation]) -> list[Attempt | None]:
        started = await start(reservations)
        if any(started):
            await ENDS[outcome](bench)
        return started

    monkeypatch.setattr(bench.queue, "start", start_and_end)
    if back == "for another version":
        monkeypatch.setattr(bench.worker.fleet, "is_stray", bool)
    else:
        monkeypatch.setattr(bench.worker._outside, "admit", lambda begun: ([], begun))
    async with bench.working():
        await check_ended(bench, tmp_path, outcome)


async def test_what_is_given_back_twice_since_the_reply_got_lost_has_ended_both_times(
    queue: JobQueue, request_for_jobs: RestoreRequest
) -> None:
    await queue.submit("job", request_for_jobs)
    await queue.submit("other", request_for_jobs)
    started = [one for one in await queue.start(await queue.reserve(2)) if one is not None]
    await queue.cancel("job")
    for _ in range(2):
        assert await queue.release(started) == [True, False]


async def test_a_job_whose_time_is_over_while_it_runs_is_counted_as_expired(
    redis: Redis, tmp_path: Path
) -> None:
    loop, begun, go_on = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()

    def wait(tasks: Sequence[FaceTask]) -> None:
        loop.call_soon_threadsafe(begun.set)
        asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result()

    bench = bench_in(tmp_path, redis, Inverting(wait))
    bench.queue.job_ttl = 0.5
    await bench.submit("job", picture(3))
    async with bench.working():
        await begun.wait()
        await until(lambda: bench.worker.holdings.is_unwanted("job"))
        go_on.set()
        await check_ended(bench, tmp_path, "expired")
