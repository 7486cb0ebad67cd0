"""What is written to Redis is what the schema draws: every key of every room, and none beside them."""

import asyncio
from collections.abc import Callable
from time import time

import pytest
from redis.asyncio import Redis
from redis_schema import SCHEMA, entry_of
from refstar_service.access.key import ApiKey
from refstar_service.access.redis import RedisKeys
from refstar_service.access.repeats import Repeats
from refstar_service.access.usage import Policy, Usage
from refstar_service.blobs import RedisBlobs
from refstar_service.jobs import JobQueue, Outcome, Priority, RestoreRequest, WorkerInfo
from refstar_service.people import PeopleStore
from refstar_service.redis.replies import read_text
from refstar_service.webhooks.notices import Notices


async def test_all_rooms_write_what_the_schema_draws_and_nothing_else(
    redis: Redis, new_queue: Callable[..., JobQueue], request_for_jobs: RestoreRequest, success: Outcome
) -> None:
    for models in (["refstar"], None, None, None):  # jobs will call three of them
        await _cut_off_while_waiting(new_queue(), redis, models)
    queue = new_queue()
    await queue.stop_waiting()
    await queue.submit("ended", request_for_jobs, owner="ada", webhook="https://example.org/hook")
    await queue.submit("next", request_for_jobs, owner="bob")
    [started] = await queue.start(await queue.reserve(1))
    assert started is not None
    assert await queue.finish([(started, success)]) == [True]
    await queue.submit("waiting", request_for_jobs, owner="ada", priority=Priority.HIGH)
    await queue.claim("coming", uploads=10, results=10)
    await queue.note_fetched("ended")
    await queue.announce_worker(WorkerInfo("w", ("refstar",), "cpu", time()), 60)
    await Notices(redis).switch_off("ada", "https://example.org/gone")
    await PeopleStore(redis).add("p", owner="ada", name="Ada", request_id="r", limit=1, ttl=60)
    await RedisKeys(redis).change("ada", lambda _: ApiKey("ada").with_token(time())[0])
    await Usage(redis).take("ada", [Policy("requests", 10, 60)])
    await Usage(redis).hold("ada", "waiting", 5, 60)
    await Repeats(redis).begin("ada", "their key", "fingerprint")
    await RedisBlobs(redis).put("waiting/image", b"1", 60)

    written = {}
    for key in await redis.keys("*"):
        entry = entry_of(key.decode())
        written[entry.pattern] = read_text(await redis.type(key))
    assert written == {entry.pattern: entry.kind for entry in SCHEMA if entry.kind != "channel"}


async def test_services_with_prefixes_of_their_own_share_a_redis(
    redis: Redis, request_for_jobs: RestoreRequest
) -> None:
    one, two = JobQueue(redis, prefix="one"), JobQueue(redis, prefix="two")
    await one.submit("a", request_for_jobs, owner="ada")
    assert await two.get("a") is None
    assert await two.reserve(1, block=0.01) == []
    assert await one.delete("a") is not None
    assert {key.split(b":")[0] for key in await redis.keys("*")} == {b"{one}", b"{two}"}


async def _cut_off_while_waiting(queue: JobQueue, redis: Redis, models: list[str] | None) -> None:
    waiting = asyncio.create_task(queue.reserve(1, block=2.0, models=models))
    while not (await redis.info("clients"))["blocked_clients"]:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
