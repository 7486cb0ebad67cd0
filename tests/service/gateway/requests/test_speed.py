"""What a request does not spend: no time is measured, only that needless work is not done."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

import anyio.to_thread
import httpx
import pytest
from redis.asyncio import Redis

Post = Callable[..., Awaitable[httpx.Response]]
Picture = Callable[..., bytes]
Worker = Callable[..., AbstractAsyncContextManager[None]]


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What was called in a thread."""
    called: list[object] = []
    to_thread, run_sync = asyncio.to_thread, anyio.to_thread.run_sync

    async def noted_to_thread(function, /, *arguments, **options):  # type: ignore[no-untyped-def]
        called.append(function)
        return await to_thread(function, *arguments, **options)

    async def noted_run_sync(function, *arguments, **options):  # type: ignore[no-untyped-def]
        called.append(function)
        return await run_sync(function, *arguments, **options)

    monkeypatch.setattr(asyncio, "to_thread", noted_to_thread)
    monkeypatch.setattr(anyio.to_thread, "run_sync", noted_run_sync)
    return called


async def test_a_small_upload_takes_no_thread(
    post: Post, client: httpx.AsyncClient, threads: list[object]
) -> None:
    accepted = await post()
    assert accepted.status_code == 202
    assert (await client.get(accepted.json()["links"]["self"])).status_code == 200
    assert threads == []


async def test_a_large_upload_is_looked_at_in_a_thread(
    post: Post, picture: Picture, threads: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("refstar_service.gateway.requests.form.SCANNED_ON_LOOP", 1000)
    assert (await post(image=("a.bmp", picture(64, 64, kind="BMP")))).status_code == 202
    assert len(threads) == 1


async def test_an_answer_that_waits_asks_once_how_it_ended(post: Post, worker: Worker, redis: Redis) -> None:
    async with worker():
        await post(headers={"Prefer": "wait=10"})  # opens the connections
        await redis.config_resetstat()
        assert (await post(headers={"Prefer": "wait=10"})).status_code == 201
        asked = await redis.info("commandstats")
    assert asked["cmdstat_hgetall"]["calls"] == 1
