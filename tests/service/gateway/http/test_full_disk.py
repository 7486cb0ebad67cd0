"""A Redis whose disk is full, and keys that cannot be read: each is told from a Redis that is away."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from redis.asyncio import Redis
from redis_process import RedisProcess
from refstar_service.access import ApiKey
from refstar_service.access.file import FileKeys
from refstar_service.access.usage import Usage
from refstar_service.app.processes import run_gateway
from refstar_service.blobs import DirectoryBlobs, RedisBlobs
from refstar_service.jobs import JobQueue, WorkerInfo
from refstar_service.settings import Settings

Post = Callable[..., Awaitable[httpx.Response]]


class Disk:
    """Of a Redis of its own. It cannot write its file where a folder lies, as on a disk that is full."""

    def __init__(self, server: RedisProcess, redis: Redis) -> None:
        self.server = server
        self.redis = redis

    async def fill(self) -> None:
        await self.redis.config_set("save", "3600 1")
        (self.server.folder / "dump.rdb").unlink(missing_ok=True)
        (self.server.folder / "dump.rdb").mkdir()
        await self._save("err")

    async def clear(self) -> None:
        (self.server.folder / "dump.rdb").rmdir()
        await self._save("ok")

    async def _save(self, wanted: str) -> None:
        async with asyncio.timeout(10):
            while (await self.redis.info("persistence"))["rdb_last_bgsave_status"] != wanted:
                if not (await self.redis.info("persistence"))["rdb_bgsave_in_progress"]:
                    await self.redis.bgsave()
                await asyncio.sleep(0.05)


@pytest.fixture
async def disk(app: FastAPI, tmp_path: Path) -> AsyncIterator[Disk]:
    """The disk of the gateway's Redis; pictures are in a directory."""
    with RedisProcess(tmp_path / "redis", "--appendonly", "no") as server:
        async with Redis.from_url(server.url) as redis:
            queue = JobQueue(redis)
            await queue.setup()
            store = DirectoryBlobs(tmp_path / "pictures")
            app.state.gateway = replace(
                app.state.gateway, redis=redis, queue=queue, blobs=store, usage=Usage(redis)
            )
            yield Disk(server, redis)
            await queue.aclose()


def _pictures(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "pictures").rglob("*") if path.is_file()]


async def test_readiness_tells_a_full_disk_from_a_redis_that_is_away(
    client: httpx.AsyncClient, app: FastAPI, disk: Disk
) -> None:
    await app.state.gateway.queue.announce_worker(WorkerInfo("w1", ("refstar",), "cpu", 0.0), 60)
    assert (await client.get("/readyz")).status_code == 200
    await disk.fill()
    answer = await client.get("/readyz")
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/not-ready")
    assert "cannot write to its disk" in answer.json()["detail"]
    disk.server.kill()
    assert "does not respond" in (await client.get("/readyz")).json()["detail"]


async def test_delete_makes_room_and_goes_through(
    client: httpx.AsyncClient, app: FastAPI, post: Post, disk: Disk, tmp_path: Path
) -> None:
    path = (await post()).headers["location"]
    assert _pictures(tmp_path)
    await disk.fill()
    assert "cannot write to its disk" in (await post()).json()["detail"]
    deleting = asyncio.create_task(client.delete(path))
    async with asyncio.timeout(5):
        while _pictures(tmp_path):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await disk.clear()  # what the pictures took is free
    assert (await deleting).status_code == 204
    assert (await client.get(path)).status_code == 404


async def test_delete_on_a_disk_that_stays_full_says_so_once_the_pictures_are_gone(
    client: httpx.AsyncClient, post: Post, disk: Disk, tmp_path: Path
) -> None:
    path = (await post()).headers["location"]
    await disk.fill()
    answer = await client.delete(path)
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/queue-unavailable")
    assert "cannot write to its disk" in answer.json()["detail"]
    assert not _pictures(tmp_path)


async def test_what_lies_in_a_redis_that_cannot_write_is_deleted_whole_or_not_at_all(
    client: httpx.AsyncClient, app: FastAPI, post: Post, disk: Disk
) -> None:
    app.state.gateway = replace(app.state.gateway, blobs=RedisBlobs(disk.redis))
    path = (await post()).headers["location"]
    [picture] = await disk.redis.keys("refstar:blob:*")
    await disk.fill()
    answer = await client.delete(path)
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/queue-unavailable")
    assert "cannot write to its disk" in answer.json()["detail"]
    assert (await client.get(path)).json()["status"] == "queued"
    assert await disk.redis.exists(picture)
    await disk.clear()
    assert (await client.delete(path)).status_code == 204
    assert not await disk.redis.exists(picture)


async def test_a_key_may_read_and_delete_while_nothing_can_be_counted(
    client: httpx.AsyncClient, app: FastAPI, disk: Disk, tmp_path: Path
) -> None:
    keys = FileKeys(tmp_path / "keys.json")
    key, token = ApiKey("ada").with_token(1.0)
    await keys.change("ada", lambda _: key)
    app.state.gateway = replace(app.state.gateway, keys=keys)
    await disk.fill()
    headers = {"Authorization": f"Bearer {token}"}
    assert (await client.get("/v1/restorations", headers=headers)).status_code == 200
    assert (await client.delete("/v1/restorations/none", headers=headers)).status_code == 204


@pytest.mark.parametrize("content", ["nonsense", "{}", None])
async def test_keys_that_cannot_be_read_are_told_from_no_keys(
    client: httpx.AsyncClient,
    app: FastAPI,
    tmp_path: Path,
    content: str | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = tmp_path / "keys.json"
    if content is None:
        path.mkdir()  # readable by nobody, whoever runs the tests
    else:
        path.write_text(content)
    app.state.gateway = replace(app.state.gateway, keys=FileKeys(path))
    answer = await client.get("/v1/models", headers={"X-API-Key": f"refstar_{'0' * 16}_{'A' * 43}"})
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/keys-unavailable")
    assert str(path) not in answer.text
    assert str(path) in caplog.text
    assert (await client.get("/readyz")).json()["detail"] == "The API keys cannot be read."
    here = Settings(port=0, access="file", keys_file=path)
    with pytest.raises(ValueError, match=str(path)):
        await run_gateway(here, "redis://127.0.0.1:1/0")
