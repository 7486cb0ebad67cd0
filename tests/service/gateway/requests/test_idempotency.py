"""`Idempotency-Key`: sent twice, carried out once; by the words of the IETF draft."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis_process import RedisProcess
from refstar_service.access.repeats import Repeats, Settlement
from refstar_service.access.usage import Usage
from refstar_service.blobs import BlobsUnavailableError, RedisBlobs
from refstar_service.gateway.http.context import Gateway
from refstar_service.jobs import Job, JobQueue
from refstar_service.people import PeopleStore
from refstar_service.redis.client import connect

Post = Callable[..., Awaitable[httpx.Response]]
Picture = Callable[..., bytes]
Worker = Callable[..., AbstractAsyncContextManager[None]]
KEY = {"Idempotency-Key": '"8e03978e-40d5-43e8-bc93-6894a57f9324"'}


async def test_a_repeated_request_is_answered_with_what_the_first_one_made(
    post: Post, queue: JobQueue
) -> None:
    first = await post(headers=KEY)
    second = await post(headers=KEY)
    assert (first.status_code, second.status_code) == (202, 202)
    assert second.json() == first.json()
    assert second.headers["location"] == first.headers["location"]
    assert "idempotency-replayed" not in first.headers
    assert second.headers["idempotency-replayed"] == "true"
    assert sum((await queue.depth()).values()) == 1


async def test_a_repetition_may_wait_for_the_end(post: Post, worker: Worker) -> None:
    made = (await post(headers=KEY)).json()["id"]
    async with worker():
        answer = await post(headers=KEY | {"Prefer": "wait=5"})
    assert (answer.status_code, answer.json()["status"], answer.json()["id"]) == (201, "succeeded", made)


async def test_the_same_key_with_another_body_is_refused(post: Post, picture: Picture) -> None:
    assert (await post(headers=KEY)).status_code == 202
    for changed in ({"fidelity": "0.7"}, {"image": ("face.png", picture(65, 65))}):
        answer = await post(headers=KEY, **changed)
        assert (answer.status_code, answer.json()["type"]) == (422, "/problems/idempotency-key-reused")


async def test_while_the_first_is_carried_out_the_second_is_told_to_wait(
    post: Post, queue: JobQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()
    put = RedisBlobs.put

    async def slowly(self: RedisBlobs, key: str, data: bytes, ttl_seconds: float) -> None:
        begun.set()
        await go_on.wait()
        await put(self, key, data, ttl_seconds)

    monkeypatch.setattr(RedisBlobs, "put", slowly)
    first = asyncio.create_task(post(headers=KEY))
    await begun.wait()
    second = await post(headers=KEY)
    assert (second.status_code, second.json()["type"]) == (409, "/problems/idempotent-request-running")
    assert int(second.headers["retry-after"]) > 0
    go_on.set()
    assert (await first).status_code == 202
    assert (await post(headers=KEY)).json() == (await first).json()
    assert sum((await queue.depth()).values()) == 1


async def test_a_refused_request_leaves_its_key_free(post: Post, queue: JobQueue, redis: Redis) -> None:
    assert (await post(headers=KEY, fidelity="7")).status_code == 422
    limit, queue.limit = queue.limit, 0
    assert (await post(headers=KEY)).status_code == 429
    queue.limit = limit
    assert not await redis.keys("*:repeat:*")
    assert (await post(headers=KEY)).status_code == 202


@pytest.mark.parametrize(
    "value",
    ["", "abc", '""', '"a', 'a"', '"a" "b"', '"a";x', "'a'", '"a\\n"', '"' + "x" * 256 + '"', "12345"],
)
async def test_what_is_not_one_quoted_string_is_refused(post: Post, queue: JobQueue, value: str) -> None:
    answer = await post(headers={"Idempotency-Key": value})
    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/idempotency-key-malformed")
    assert sum((await queue.depth()).values()) == 0


async def test_quotes_and_backslashes_in_a_key_are_part_of_it(post: Post) -> None:
    first = await post(headers={"Idempotency-Key": r'"a \"b\" \\"'})
    assert first.status_code == 202
    assert (await post(headers={"Idempotency-Key": r'"a \"b\" \\"'})).json() == first.json()
    assert (await post(headers={"Idempotency-Key": r'"a b"'})).json()["id"] != first.json()["id"]


async def test_a_gateway_that_dies_after_queuing_leaves_one_job(
    app: FastAPI, post: Post, queue: JobQueue, redis: Redis
) -> None:
    class Dying(Repeats):
        async def settle(self, *_: object, **__: object) -> None: ...

    app.state.gateway = replace(app.state.gateway, repeats=Dying(redis, patience=0.05))
    first = await post(headers=KEY)
    await asyncio.sleep(0.06)
    app.state.gateway = replace(app.state.gateway, repeats=Repeats(redis))
    second = await post(headers=KEY)
    assert (first.status_code, second.status_code) == (202, 202)
    assert second.json()["id"] == first.json()["id"]
    assert sum((await queue.depth()).values()) == 1


async def test_a_gateway_that_dies_before_queuing_does_not_block_the_key(
    app: FastAPI, post: Post, redis: Redis, queue: JobQueue
) -> None:
    app.state.gateway = replace(app.state.gateway, repeats=Repeats(redis, patience=0.05))
    first = await post(headers=KEY)
    # As it is before the job is queued: begun, and no more.
    (record,) = await redis.keys("*:repeat:*")
    await redis.hdel(record, "done")
    await queue.delete(first.json()["id"])
    await asyncio.sleep(0.06)
    second = await post(headers=KEY)
    assert (second.status_code, second.json()["id"]) == (202, first.json()["id"])


async def test_the_same_key_of_another_caller_is_another_key(redis: Redis) -> None:
    repeats = Repeats(redis)
    one, other = await repeats.begin("one", "k", "f"), await repeats.begin("other", "k", "g")
    assert one.state == other.state == "begun"
    assert one.id != other.id


async def test_a_deleted_restoration_is_not_made_again(client: httpx.AsyncClient, post: Post) -> None:
    first = await post(headers=KEY)
    await client.delete(first.headers["location"])
    again = await post(headers=KEY)
    assert (again.status_code, again.json()["type"]) == (404, "/problems/unknown-restoration")


async def test_a_key_is_remembered_for_a_day(post: Post, redis: Redis) -> None:
    await post(headers=KEY)
    (record,) = await redis.keys("*:repeat:*")
    assert 86_390 < await redis.ttl(record) <= 86_400
    assert "8e03978e" not in str(record)


async def test_a_holder_that_was_overtaken_changes_nothing(redis: Redis) -> None:
    repeats = Repeats(redis, patience=0.01)
    slow = await repeats.begin("", "k", "f")
    await asyncio.sleep(0.02)
    quick = await repeats.begin("", "k", "f")
    assert (quick.state, quick.id) == ("begun", slow.id)
    await repeats.settle("", "k", slow, Settlement.REFUSED)
    await repeats.settle("", "k", quick, Settlement.MADE)
    assert (await repeats.begin("", "k", "f")).state == "done"


@pytest.fixture
async def killable(app: FastAPI, tmp_path: Path) -> AsyncIterator[RedisProcess]:
    """The gateway's Redis, one that a test may kill and start again."""
    with RedisProcess(tmp_path / "redis") as server:
        async with connect(server.url) as own:
            queue = JobQueue(own)
            await queue.setup()
            gateway: Gateway = app.state.gateway
            app.state.gateway = replace(
                gateway,
                queue=queue,
                blobs=RedisBlobs(own),
                people=PeopleStore(own),
                usage=Usage(own),
                repeats=Repeats(own),
            )
            yield server
            await queue.aclose()


@pytest.mark.parametrize("when", ["before the picture", "after the picture", "after the job"])
@pytest.mark.parametrize("other", [False, True])
async def test_a_redis_killed_between_the_claim_and_the_settling_leaves_the_key_free(
    killable: RedisProcess, app: FastAPI, post: Post, monkeypatch: pytest.MonkeyPatch, when: str, other: bool
) -> None:
    """Also for a corrected request."""
    put, submit = RedisBlobs.put, JobQueue.submit

    async def put_and_kill(self: RedisBlobs, key: str, data: bytes, ttl_seconds: float) -> None:
        if when == "before the picture":
            killable.kill()
        await put(self, key, data, ttl_seconds)
        if when == "after the picture":
            killable.kill()

    async def submit_and_kill(self: JobQueue, *arguments: Any, **options: Any) -> Job:
        await submit(self, *arguments, **options)
        killable.kill()
        raise RedisConnectionError("the reply was lost")

    with monkeypatch.context() as patched:
        patched.setattr(RedisBlobs, "put", put_and_kill)
        if when == "after the job":
            patched.setattr(JobQueue, "submit", submit_and_kill)
        first = await post(headers=KEY)
    assert first.status_code == 503
    killable.start()
    second = await post(headers=KEY, fidelity="0.7" if other else None)
    assert second.status_code == 202, second.json()
    third = await post(headers=KEY, fidelity="0.7" if other else None)
    assert third.json()["id"] == second.json()["id"]
    if not other:
        assert sum((await app.state.gateway.queue.depth()).values()) == 1


async def test_other_gateways_find_the_key_free_soon_after(
    killable: RedisProcess, app: FastAPI, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def kill(*_: object) -> None:
        killable.kill()
        raise BlobsUnavailableError("away")

    with monkeypatch.context() as patched:
        patched.setattr(RedisBlobs, "put", kill)
        assert (await post(headers=KEY)).status_code == 503
    killable.start()
    async with connect(killable.url) as other:
        app.state.gateway = replace(app.state.gateway, repeats=Repeats(other))
        async with asyncio.timeout(5):
            while (answer := await post(headers=KEY)).status_code == 409:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
    assert answer.status_code == 202


async def test_a_claim_whose_reply_was_lost_is_not_in_its_own_way(redis: Redis) -> None:
    """redis-py sends a script again after a broken connection."""
    repeats = Repeats(redis)
    run = repeats._scripts.run

    async def run_twice(*arguments: Any) -> Any:
        await run(*arguments)
        return await run(*arguments)

    repeats._scripts.run = run_twice  # type: ignore[method-assign]
    assert (await repeats.begin("", "k", "f")).state == "begun"
    assert (await repeats.begin("", "k", "f")).state == "running"
