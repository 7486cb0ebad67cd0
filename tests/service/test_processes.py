import asyncio
import sys
from pathlib import Path
from typing import Any, ClassVar

import pytest
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from refstar_service.app import event_loop as loop
from refstar_service.app import processes
from refstar_service.app.processes import swept_store
from refstar_service.blobs import BlobsUnavailableError, DirectoryBlobs
from refstar_service.blobs.s3 import S3Blobs
from refstar_service.jobs import JobQueue
from refstar_service.redis.client import connect
from refstar_service.settings import Settings


async def test_connections_that_died_while_idle_cost_nobody_an_error(redis_server: str, redis: Redis) -> None:
    client = connect(redis_server)
    queue = JobQueue(client)
    try:
        assert await queue.get("nobody") is None
        for _ in range(3):
            await redis.client_kill_filter(_type="normal", skipme=True)  # as a restart of the server does
            assert await queue.get("nobody") is None
            await redis.client_kill_filter(_type="normal", skipme=True)
            assert sum((await queue.depth()).values()) == 0
    finally:
        await queue.aclose()
        await client.aclose()


def test_pictures_wait_where_the_settings_say(tmp_path: Path) -> None:
    assert swept_store(Settings(blobs="redis")) is None
    assert isinstance(swept_store(Settings(blobs="directory", blob_dir=tmp_path)), DirectoryBlobs)
    assert isinstance(swept_store(Settings(blobs="s3", s3_url="s3://pictures/faces")), S3Blobs)


def test_s3_without_its_extra_is_an_error_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "refstar_service.blobs.s3", None)
    with pytest.raises(RuntimeError, match=r"pip install 'refstar-service\[s3\]'"):
        swept_store(Settings(blobs="s3", s3_url="s3://pictures"))


async def _of_a_connection_closed_between_its_check_and_its_use(url: str) -> int:
    client = connect(url)
    try:
        await client.ping()
        kind = client.connection_pool.connection_class
        check = kind.send_packed_command
        closed = 0

        async def close_and_send(connection: AbstractConnection, *arguments: Any, **options: Any) -> None:
            nonlocal closed
            if not closed:
                closed += 1
                connection._writer.transport.abort()  # type: ignore[union-attr]
                await asyncio.sleep(0)
            await check(connection, *arguments, **options)

        kind.send_packed_command = close_and_send
        await client.ping()
        return closed
    finally:
        await client.aclose()


def test_a_connection_that_closes_at_the_wrong_moment_costs_nobody_an_error(redis_server: str) -> None:
    assert loop.run(_of_a_connection_closed_between_its_check_and_its_use(redis_server)) == 1


async def test_a_store_that_cannot_be_swept_once_is_swept_again(caplog: pytest.LogCaptureFixture) -> None:
    swept = asyncio.Event()

    class Store(DirectoryBlobs):
        sweep_every = 0.01
        troubles: ClassVar[list[Exception]] = [ValueError("not foreseen"), BlobsUnavailableError("away")]

        async def sweep(self) -> int:
            if self.troubles:
                raise self.troubles.pop()
            swept.set()
            return 0

    sweeper = asyncio.create_task(processes._sweep(Store(Path("nowhere"))))
    async with asyncio.timeout(5):
        await swept.wait()
    sweeper.cancel()
    assert "not foreseen" in caplog.text
    assert "away" in caplog.text
