"""A store of pictures that is away for a moment while something is cleared up: what had been found out still counts."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from inverting import Inverting
from people_shop import SHARP, NewHand, Shop
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from refstar_service.blobs import BlobsFullError, BlobStore, BlobsUnavailableError, DirectoryBlobs, RedisBlobs
from refstar_service.engine.restorer import FaceTask
from refstar_service.images import EncodedPicture, ImageLimits
from refstar_service.jobs import JobStatus
from refstar_service.outgoing.carrier import Carrier
from refstar_service.outgoing.connection import Dialer
from refstar_service.restoration.steps import ComposedPicture
from refstar_service.worker import patience
from refstar_service.worker.files import JobFiles
from refstar_service.worker.transfers import Transfers
from worker_bench import Bench, picture

#: What stores say while they are away.
AWAY = {"redis": RedisConnectionError("Connection reset by peer"), "directory": BlobsUnavailableError("away")}


@pytest.fixture(params=AWAY)
def blobs(request: pytest.FixtureRequest, redis: Redis, tmp_path: Path) -> BlobStore:
    """A store that is away for the first of its results that is to be deleted."""
    store: BlobStore = RedisBlobs(redis) if request.param == "redis" else DirectoryBlobs(tmp_path)
    delete, failed = store.delete, []

    async def delete_later(*keys: str) -> None:
        if any("result" in key for key in keys) and not failed:
            failed.append(keys)
            raise AWAY[request.param]
        await delete(*keys)

    store.delete = delete_later  # type: ignore[method-assign]
    return store


async def test_a_delivery_that_is_refused_is_told_of_when_its_result_cannot_be_deleted(
    redis: Redis, blobs: BlobStore
) -> None:
    carrier = Carrier(Dialer(), redirects=0, pauses=())
    transfers = Transfers(carrier, ImageLimits(), most_bytes=2**24, timeout=5)
    bench = Bench(redis, Inverting(), blobs=blobs, transfers=transfers)
    await bench.submit("job", picture(3), output_url="https://127.0.0.1/x")
    async with bench.working():
        job = await bench.ended("job")
    assert job.failure is not None
    assert job.failure.code == "output-url-refused"


async def test_a_job_that_is_canceled_as_it_ends_is_counted_when_its_result_cannot_be_deleted(
    redis: Redis, blobs: BlobStore
) -> None:
    loop = asyncio.get_running_loop()

    def cancel(tasks: Sequence[FaceTask]) -> None:
        asyncio.run_coroutine_threadsafe(bench.queue.cancel("job"), loop).result()

    bench = Bench(redis, Inverting(cancel), blobs=blobs)
    await bench.submit("job", picture(3))
    async with bench.working():
        assert (await bench.ended("job")).status is JobStatus.CANCELED
    assert bench.metrics.jobs_finished.labels("canceled", "", "refstar")._value.get() == 1


@pytest.mark.parametrize("error", AWAY.values(), ids=AWAY)
async def test_of_a_result_that_cannot_be_kept_whole_nothing_is_kept(
    redis: Redis, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(redis, Inverting())
    await bench.submit("job", picture(3))
    [started] = await bench.queue.start(await bench.queue.reserve(1))
    assert started is not None
    put = RedisBlobs.put

    async def put_one(self: RedisBlobs, key: str, data: bytes, ttl_seconds: float) -> None:
        if "selection" in key:
            raise error
        await put(self, key, data, ttl_seconds)

    monkeypatch.setattr(RedisBlobs, "put", put_one)
    encoded = EncodedPicture(b"1", "image/png")
    composed = ComposedPicture(encoded, encoded, (), (), {})
    with pytest.raises(type(error)):
        await JobFiles(bench.blobs, 60).keep(started, composed, "a.png", recorded_within=60)
    assert [key async for key in redis.scan_iter("*result*")] == []
    await bench.queue.aclose()


@pytest.mark.parametrize("error", AWAY.values(), ids=AWAY)
async def test_a_person_for_whom_there_is_no_room_is_told_so_when_nothing_can_be_deleted(
    shop: Shop, hand: NewHand, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(self: RedisBlobs, *_: object) -> None:
        raise BlobsFullError("No space left on device")

    async def fail_once(self: RedisBlobs, *keys: str) -> None:
        monkeypatch.undo()
        raise error

    monkeypatch.setattr(patience, "FULL_PATIENCE", 0.0)
    await shop.enroll("ada", [SHARP])
    monkeypatch.setattr(RedisBlobs, "put", fail)
    monkeypatch.setattr(RedisBlobs, "delete", fail_once)
    async with hand("one").working():
        job = await shop.ended("ada")
    assert job.failure is not None
    assert job.failure.code == "storage-full"
