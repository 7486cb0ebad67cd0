"""How many faces a worker says that went through the model, by which the turns of owners are counted."""

import asyncio
from collections.abc import Sequence

import pytest
from inverting import Inverting
from known_faces import KnownFaces, astronauts
from pictures import file_of
from redis.asyncio import Redis
from refstar_service.engine.restorer import FaceTask
from refstar_service.jobs import JobStatus
from worker_bench import Bench, picture

PIXELS, FACES = astronauts(4)
CROWD = file_of(PIXELS, ".png")
TURNS = "{refstar}:queue:normal:turns"


async def submit_crowd(redis: Redis, restorer: Inverting) -> Bench:
    """Four faces of one owner, in front of a worker; what keeps the line is for another worker."""
    detector = KnownFaces({(PIXELS.shape[1], PIXELS.shape[0]): FACES})
    bench = Bench(redis, restorer, detector, faces_at_once=1)
    await bench.submit("crowd", CROWD, owner="crowd", faces="all", keep=False)
    for owner in ("crowd", "single"):
        await bench.submit(f"{owner}-later", picture(3), owner=owner, model="theirs")
    return bench


async def lead(redis: Redis) -> float:
    """By how much the crowd's owner has had more than the other one."""
    crowd, single = [await redis.zscore(TURNS, owner) for owner in ("crowd", "single")]
    assert crowd is not None
    assert single is not None
    return float(crowd - single)


async def test_all_faces_of_a_job_that_succeeds_are_charged(redis: Redis) -> None:
    bench = await submit_crowd(redis, Inverting())
    async with bench.working():
        assert (await bench.ended("crowd")).status is JobStatus.SUCCEEDED
    assert await lead(redis) == 4


async def test_the_faces_until_the_model_fails_are_charged(redis: Redis) -> None:
    def fail_at_the_third(tasks: Sequence[FaceTask]) -> None:
        if len(restorer.batches) == 2:
            raise RuntimeError("not this one")

    restorer = Inverting(fail_at_the_third)
    bench = await submit_crowd(redis, restorer)
    async with bench.working():
        assert (await bench.ended("crowd")).status is JobStatus.FAILED
    assert await lead(redis) == 3


@pytest.mark.parametrize("stale_after", [0.3, 30])  # noticed by a heartbeat, or when the last face is through
async def test_the_faces_of_a_job_that_is_canceled_are_charged(redis: Redis, stale_after: float) -> None:
    loop = asyncio.get_running_loop()

    def cancel_at_the_third(tasks: Sequence[FaceTask]) -> None:
        if len(restorer.batches) == 2:
            asyncio.run_coroutine_threadsafe(bench.queue.cancel("crowd"), loop).result()
            if stale_after < 1:
                unwanted = bench.worker.holdings.is_unwanted
                asyncio.run_coroutine_threadsafe(_until_unwanted(unwanted), loop).result()

    restorer = Inverting(cancel_at_the_third)
    bench = await submit_crowd(redis, restorer)
    bench.queue.stale_after = stale_after
    async with bench.working():
        assert (await bench.ended("crowd")).status is JobStatus.CANCELED
    assert await lead(redis) == (3 if stale_after < 1 else 4)


async def _until_unwanted(is_unwanted: object) -> None:
    assert callable(is_unwanted)
    async with asyncio.timeout(5):
        while not is_unwanted("crowd"):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
