"""What a key has asked for is counted once for all gateways, by the clock of Redis."""

import asyncio

from redis.asyncio import Redis
from refstar_service.access.usage import Policy, Usage
from refstar_service.jobs import JobQueue, Outcome, RestoreRequest

TWO = Policy("requests", 2, 60)


async def test_a_quota_is_shared_by_gateways_and_not_by_keys(redis: Redis) -> None:
    here, there = Usage(redis), Usage(redis)
    assert [s.remaining for s in (await here.take("ada", [TWO])).standings] == [1]
    assert [s.remaining for s in (await there.take("ada", [TWO])).standings] == [0]
    refused = (await here.take("ada", [TWO])).refused
    assert refused is not None
    assert (refused.remaining, refused.reset) == (0, 60)
    assert (await here.take("bob", [TWO])).refused is None


async def test_the_window_ends_and_begins_anew(redis: Redis) -> None:
    usage, quick = Usage(redis), Policy("requests", 1, 1)
    assert (await usage.take("ada", [quick])).refused is None
    refused = (await usage.take("ada", [quick])).refused
    assert refused is not None
    assert refused.reset == 1
    await redis.pexpire("{refstar}:usage:ada:requests", 10)
    await asyncio.sleep(0.03)
    assert (await usage.take("ada", [quick])).refused is None


async def test_of_several_policies_none_is_charged_if_one_refuses(redis: Redis) -> None:
    usage, one = Usage(redis), Policy("restorations", 1, 60)
    await usage.take("ada", [TWO, one])
    taken = await usage.take("ada", [TWO, one])
    assert taken.refused is not None
    assert taken.refused.policy == one
    assert [standing.remaining for standing in taken.standings] == [1, 0]
    assert (await usage.take("ada", [TWO])).refused is None


async def test_many_at_once_get_exactly_the_quota(redis: Redis) -> None:
    usage, ten = Usage(redis), Policy("requests", 10, 60)
    taken = await asyncio.gather(*(usage.take("ada", [ten]) for _ in range(40)))
    assert sum(one.refused is None for one in taken) == 10


async def test_what_was_given_back_can_be_taken_again_and_no_more(redis: Redis) -> None:
    usage = Usage(redis)
    await usage.give_back("ada", TWO)
    await usage.take("ada", [TWO])
    await usage.take("ada", [TWO])
    await usage.give_back("ada", TWO)
    assert (await usage.take("ada", [TWO])).refused is None
    assert (await usage.take("ada", [TWO])).refused is not None


async def test_a_place_is_free_again_once_its_job_has_ended_or_is_gone(
    redis: Redis, queue: JobQueue, request_for_jobs: RestoreRequest, success: Outcome
) -> None:
    usage = Usage(redis)

    async def submitted(job_id: str) -> bool:
        if not await usage.hold("ada", job_id, 2, 100.0):
            return False
        await queue.submit(job_id, request_for_jobs, owner="ada")
        return True

    assert await submitted("one")
    assert await submitted("two")
    assert not await submitted("three")
    assert await usage.hold("ada", "two", 2, 100.0)  # the same job needs no second place

    (started,) = await queue.start(await queue.reserve(1))
    assert started is not None
    assert not await submitted("three")
    await queue.finish([(started, success)])
    assert await submitted("three")

    await queue.cancel("two")
    assert await submitted("four")
    await queue.delete("three")
    assert not await submitted("five")  # for all this knows, it is about to be queued
    await usage.let_go("ada", "three")
    assert await submitted("five")


async def test_a_place_of_a_request_that_died_is_free_after_a_minute(redis: Redis) -> None:
    usage = Usage(redis)
    assert await usage.hold("ada", "lost", 1, 100.0)
    assert not await usage.hold("ada", "next", 1, 100.0)
    await redis.zincrby("{refstar}:unfinished:ada", -61, "lost")
    assert await usage.hold("ada", "next", 1, 100.0)


async def test_nothing_is_remembered_for_ever(redis: Redis) -> None:
    usage = Usage(redis)
    await usage.take("ada", [TWO])
    await usage.hold("ada", "one", 2, 100.0)
    for key in await redis.keys("*"):
        assert await redis.ttl(key) > 0
