"""What clients read of restorations and people whose time is over, and which setting they are told of."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

import httpx
from refstar_service.jobs import JobQueue

Post = Callable[..., Awaitable[httpx.Response]]
Worker = Callable[..., AbstractAsyncContextManager[None]]
Picture = Callable[..., bytes]
WAIT = {"Prefer": "wait=20"}


async def test_an_expired_restoration_is_remembered_for_a_while(
    client: httpx.AsyncClient, post: Post, worker: Worker, queue: JobQueue
) -> None:
    queue.result_ttl = 0.05
    async with worker():
        path = (await post(headers=WAIT)).headers["location"]
    await asyncio.sleep(0.1)
    expired = (await client.get(path)).json()
    assert (expired["status"], expired["error"]) == ("expired", None)
    result = await client.get(f"{path}/image")
    assert (result.status_code, result.json()["type"]) == (410, "/problems/restoration-expired")
    assert result.json()["setting"] == "REFSTAR_RESULT_TTL"
    assert "REFSTAR_JOB_TTL" not in result.json()["detail"]


async def test_a_restoration_that_waited_too_long_has_expired_and_says_of_what(
    client: httpx.AsyncClient, post: Post, queue: JobQueue
) -> None:
    queue.job_ttl = 0.05
    path = (await post()).headers["location"]
    await asyncio.sleep(0.1)
    for _ in range(2):  # before and after a worker has come to it
        expired = (await client.get(path)).json()
        assert (expired["status"], expired["error"]["type"]) == ("expired", "/problems/restoration-expired")
        assert "No worker began it" in expired["error"]["detail"]
        result = await client.get(f"{path}/image")
        assert (result.status_code, result.json()["type"]) == (410, "/problems/restoration-expired")
        assert result.json()["detail"].count("REFSTAR_") == 1
        assert result.json()["setting"] == "REFSTAR_JOB_TTL"
        assert await queue.start(await queue.reserve(1, block=0)) in ([None], [])
    assert (await client.get(path)).json()["finished_at"] is not None


async def test_a_person_whom_no_worker_looked_at_in_time_is_told_of_what_it_was(
    client: httpx.AsyncClient, picture: Picture, queue: JobQueue
) -> None:
    queue.job_ttl = 0.05
    sent = await client.post("/v1/people", files={"references": ("a.png", picture())})
    await asyncio.sleep(0.1)
    person = (await client.get(sent.headers["location"])).json()
    assert (person["status"], person["error"]["type"]) == ("failed", "/problems/input-expired")
    assert "REFSTAR_JOB_TTL" in person["error"]["detail"]
