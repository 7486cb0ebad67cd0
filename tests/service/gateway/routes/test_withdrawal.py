"""What a client cancels or deletes while it waits: no worker meets it, so the gateway counts it, once."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress

import httpx
from redis.asyncio import Redis
from refstar_service.jobs import JobQueue

Post = Callable[..., Awaitable[httpx.Response]]
CANCELED = 'model="refstar@1.0",outcome="canceled",reason=""'
DELETED = 'model="refstar@1.0",outcome="deleted",reason=""'


async def count_ended(client: httpx.AsyncClient) -> dict[str, float]:
    """By the labels, as they are scraped."""
    lines = (await client.get("/metrics")).text.splitlines()
    counted = [line.split("} ") for line in lines if line.startswith("refstar_jobs_finished_total{")]
    return {labels.partition("{")[2]: float(value) for labels, value in counted}


async def test_what_is_canceled_while_it_waits_is_counted_once_and_leaves_no_picture(
    client: httpx.AsyncClient, post: Post, redis: Redis
) -> None:
    path = (await post()).headers["location"]
    for _ in range(2):
        assert (await client.post(f"{path}/cancel")).json()["status"] == "canceled"
    assert await count_ended(client) == {CANCELED: 1}
    assert await redis.keys("*blob*") == []
    await client.delete(path)
    assert await count_ended(client) == {CANCELED: 1}, "it had ended before"


async def test_what_is_deleted_while_it_waits_is_counted_once(client: httpx.AsyncClient, post: Post) -> None:
    path = (await post()).headers["location"]
    for _ in range(2):
        assert (await client.delete(path)).status_code == 204
    assert await count_ended(client) == {DELETED: 1}


async def test_a_person_who_is_deleted_before_a_worker_looked_is_counted_as_a_job(
    client: httpx.AsyncClient, picture: Callable[..., bytes]
) -> None:
    sent = await client.post("/v1/people", files={"references": ("a.png", picture())})
    assert (await client.delete(sent.headers["location"])).status_code == 204
    assert await count_ended(client) == {'model="",outcome="deleted",reason=""': 1}


async def test_what_a_worker_has_or_has_ended_is_counted_by_the_worker(
    client: httpx.AsyncClient,
    post: Post,
    queue: JobQueue,
    worker: Callable[[], AbstractAsyncContextManager[None]],
) -> None:
    paths = [(await post()).headers["location"] for _ in range(3)]
    await queue.start(await queue.reserve(2))
    await client.post(f"{paths[0]}/cancel")
    await client.delete(paths[1])
    async with worker():
        await client.get(paths[2], headers={"Prefer": "wait=10"})
    await client.delete(paths[2])
    assert await count_ended(client) == {}


async def test_a_request_that_failed_and_was_undone_is_no_job_that_ended(
    client: httpx.AsyncClient, post: Post, queue: JobQueue, redis: Redis
) -> None:
    submit = queue.submit

    async def submit_and_lose_the_reply(*arguments: object, **options: object) -> None:
        await submit(*arguments, **options)  # type: ignore[arg-type]
        raise ConnectionResetError("the reply got lost")

    queue.submit = submit_and_lose_the_reply  # type: ignore[method-assign,assignment]
    with suppress(ConnectionResetError):
        await post()
    assert await queue.depth() == dict.fromkeys(await queue.depth(), 0)
    assert await redis.keys("*blob*") == []
    assert await count_ended(client) == {}
