"""Room in the queue, in bytes too: refused before Redis is full, and given back to the byte."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis_process import RedisProcess
from refstar_service.blobs import RedisBlobs
from refstar_service.jobs import JobQueue, Outcome, Priority, QueueFullError, RestoreRequest

NewQueue = Callable[..., JobQueue]
MIB = 2**20
RESULT = 2 * 1234  # bytes of a result with its selection picture, as the outcome of these tests has it


async def held(redis: Redis) -> tuple[int, int]:
    """Bytes of all that is stored, and those of them that are yet to be written. What is counted by owner sums up."""
    totals = await redis.hgetall("{refstar}:stored:totals")
    owners = (int(share) for share in (await redis.hgetall("{refstar}:stored:owners")).values())
    assert sum(owners) == int(totals.get(b"bytes", 0))
    return int(totals.get(b"bytes", 0)), int(totals.get(b"promised", 0))


async def test_bytes_are_counted_from_admission_to_the_end(
    new_queue: NewQueue, redis: Redis, request_for_jobs: RestoreRequest, success: Outcome, failure: Outcome
) -> None:
    queue = new_queue(stale_after=0.05)
    priorities = (Priority.HIGH, Priority.NORMAL)
    for number, name in enumerate(("good", "bad", "canceled", "deleted", "stopped", "lost")):
        claim = await queue.claim(name, uploads=100, results=1000)
        await queue.submit(name, request_for_jobs, priority=priorities[number % 2], claim=claim)
    assert await held(redis) == (6600, 6000)

    begun = {one.job_id: one for one in await queue.start(await queue.reserve(6)) if one}
    assert len(begun) == 6
    await queue.cancel("canceled")
    await queue.delete("deleted")
    ended = [(begun["good"], success), (begun["bad"], failure), (begun["canceled"], success)]
    assert await queue.finish(ended) == [True, True, False]
    assert await queue.finish(ended[:1]) == [True]  # a repeated call takes nothing off twice
    assert await held(redis) == (RESULT + 2200, 2000)
    await queue.release([begun["stopped"], begun["deleted"]])
    assert await held(redis) == (RESULT + 2200, 2000)
    for attempt in range(3):  # "stopped" begins anew, "lost" is in its first
        await asyncio.sleep(0.06)
        while batch := await queue.reserve(2, block=0):
            again = [one for one in await queue.start(batch) if one]
            assert attempt < 2 or again == [] or again[0].job_id == "stopped"
    await asyncio.sleep(0.06)
    while batch := await queue.reserve(2, block=0):
        await queue.start(batch)
    assert await held(redis) == (RESULT, 0)
    await queue.delete("good")
    assert await held(redis) == (0, 0)
    assert await redis.keys("*stored:owners") == await redis.keys("*stored:ends") == []


async def test_more_bytes_than_are_admitted_are_refused_and_leave_nothing(
    new_queue: NewQueue, redis: Redis, request_for_jobs: RestoreRequest, failure: Outcome
) -> None:
    queue = new_queue(byte_limit=1000)
    first = await queue.claim("first", uploads=100, results=500)
    with pytest.raises(QueueFullError) as refusal:  # also while the first one's uploads are only being stored
        await queue.claim("second", uploads=200, results=201)
    assert refusal.value.what == "bytes"
    assert refusal.value.limit == 1000
    second = await queue.claim("second", uploads=200, results=200)
    assert await queue.claim("second", uploads=200, results=200) == second  # the reply was lost
    await queue.submit("first", request_for_jobs, claim=first)
    await queue.submit("second", request_for_jobs, claim=second)
    with pytest.raises(QueueFullError):
        await queue.claim("third", uploads=1, results=0)
    with pytest.raises(QueueFullError):  # without a claim as well
        await queue.submit("third", request_for_jobs)
    assert await queue.get("third") is None
    assert await held(redis) == (1000, 700)

    started = await queue.start(await queue.reserve(1))
    await queue.finish([(one, failure) for one in started if one])
    await queue.claim("third", uploads=600, results=0)


async def test_a_claim_that_is_not_used_is_given_back_or_lapses(
    new_queue: NewQueue, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("refstar_service.jobs.client_side.CLAIM_HOLDS", 1)
    queue = new_queue(byte_limit=1000)
    await queue.disclaim(await queue.claim("undone", uploads=1000, results=0))
    await queue.claim("dead", uploads=1000, results=0)
    with pytest.raises(QueueFullError):
        await queue.claim("next", uploads=1, results=0)
    await asyncio.sleep(1.05)
    await queue.claim("next", uploads=1, results=0)


async def test_redis_fills_to_its_share_and_takes_all_admitted_results(
    tmp_path: Path, request_for_jobs: RestoreRequest, success: Outcome
) -> None:
    """Many at a time, as from several gateways; nobody meets an out-of-memory error."""
    options = ("--maxmemory", f"{48 * MIB}", "--maxmemory-policy", "noeviction")
    with RedisProcess(tmp_path / "redis", *options) as server:
        async with Redis.from_url(server.url) as redis:
            queue, blobs = JobQueue(redis, memory_share=0.8), RedisBlobs(redis)
            accepted: list[str] = []
            refused: list[str] = []

            gateways = asyncio.Semaphore(16)

            async def submit(name: str) -> None:
                async with gateways:
                    await admit(name)

            async def admit(name: str) -> None:
                try:
                    claim = await queue.claim(name, uploads=300_000, results=500_000)
                except QueueFullError as full:
                    refused.append(full.what)
                    return
                await blobs.put(f"{name}/image", b"x" * 300_000, 60)
                await queue.submit(name, request_for_jobs, claim=claim)
                accepted.append(name)

            await asyncio.gather(*(submit(f"job-{number}") for number in range(100)))
            assert set(refused) == {"memory"}
            assert 20 < len(accepted) < 50
            begun = await queue.start(await queue.reserve(100))
            assert len(begun) == len(accepted)
            for one in begun:
                assert one is not None
                await blobs.put(f"{one.job_id}/result", b"y" * 500_000, 60)
                assert await queue.finish([(one, success)]) == [True]
            # Uploads are still there, so it stays full; without them there is room again.
            with pytest.raises(QueueFullError):
                await queue.claim("more", uploads=9_000_000, results=9_000_000)
            await blobs.delete(*(f"{name}/image" for name in accepted))
            async with asyncio.timeout(10):
                while True:  # the memory is freed in the background
                    try:
                        await queue.claim("more", uploads=1_000_000, results=1_000_000)
                        break
                    except QueueFullError:
                        await asyncio.sleep(0.05)


async def test_blobs_elsewhere_do_not_count_as_memory_of_redis(new_queue: NewQueue, redis: Redis) -> None:
    used = (await redis.info("memory"))["used_memory"]
    before = (await redis.config_get("maxmemory"))["maxmemory"]
    await redis.config_set("maxmemory", 2 * used + 10 * MIB)
    try:
        with pytest.raises(QueueFullError, match="memory"):
            await new_queue(memory_share=0.9).claim("one", uploads=2 * used + 10 * MIB, results=0)
        await new_queue(memory_share=0.9, blobs_in_redis=False).claim("one", uploads=100 * MIB, results=0)
    finally:
        await redis.config_set("maxmemory", before)
