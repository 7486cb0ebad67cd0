import sys
from pathlib import Path

import pytest
from redis.asyncio import Redis
from refstar_service.blobs import DirectoryBlobs
from refstar_service.blobs.s3 import S3Blobs
from refstar_service.jobs import JobQueue
from refstar_service.processes import connect, swept_store
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
