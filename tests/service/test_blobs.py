"""One set of promises, kept by every blob store."""

import asyncio
import os
import time
from pathlib import Path

import pytest
from redis.asyncio import Redis
from refstar_service.blobs import BlobStore, DirectoryBlobs, RedisBlobs


@pytest.fixture(params=["redis", "directory"])
def store(request: pytest.FixtureRequest, redis: Redis, tmp_path: Path) -> BlobStore:
    return RedisBlobs(redis) if request.param == "redis" else DirectoryBlobs(tmp_path / "blobs")


KEYS = ["plain", "jobs/1/input", "../../escape", "/etc/passwd", "", "ä ß\n\0", "k" * 5000, "con.part"]


@pytest.mark.parametrize("key", KEYS)
async def test_any_key_gives_back_its_own_bytes(store: BlobStore, key: str) -> None:
    assert await store.get(key) is None
    await store.put(key, b"\x00\xff" * 1000, 60)
    await store.put(key + "x", b"other", 60)
    assert await store.get(key) == b"\x00\xff" * 1000


async def test_no_bytes_are_bytes_too(store: BlobStore) -> None:
    await store.put("empty", b"", 60)
    assert await store.get("empty") == b""


async def test_the_last_put_counts(store: BlobStore) -> None:
    await store.put("key", b"first", 0.05)
    await store.put("key", b"second", 60)
    await asyncio.sleep(0.08)
    assert await store.get("key") == b"second"


async def test_a_blob_is_gone_after_its_time(store: BlobStore) -> None:
    await store.put("brief", b"data", 0.3)
    await store.put("lasting", b"data", 60)
    assert await store.get("brief") == b"data"
    await asyncio.sleep(0.31)
    assert await store.get("brief") is None
    assert await store.get("lasting") == b"data"


async def test_deleted_blobs_are_gone_and_deleting_again_is_fine(store: BlobStore) -> None:
    for key in "abc":
        await store.put(key, key.encode(), 60)
    await store.delete("a", "b", "never there")
    await store.delete("a")
    await store.delete()
    assert [await store.get(key) for key in "abc"] == [None, None, b"c"]


async def test_a_reader_never_sees_half_a_blob(store: BlobStore) -> None:
    contents = [bytes([letter]) * 200_000 for letter in b"abc"]
    await store.put("key", contents[0], 60)

    async def write() -> None:
        for i in range(20):
            await store.put("key", contents[i % 3], 60)

    async def read() -> None:
        for _ in range(40):
            assert await store.get("key") in contents

    await asyncio.gather(write(), write(), read(), read())


async def test_a_redis_client_that_decodes_is_refused(redis_server: str) -> None:
    async with Redis.from_url(redis_server, decode_responses=True) as client:
        await client.set("refstar:blob:key", "text")
        with pytest.raises(TypeError, match="decode_responses=False"):
            await RedisBlobs(client).get("key")


async def test_blobs_of_different_prefixes_do_not_meet(redis: Redis) -> None:
    await RedisBlobs(redis, "one").put("key", b"1", 60)
    assert await RedisBlobs(redis, "two").get("key") is None


async def test_no_key_leads_out_of_the_directory(tmp_path: Path) -> None:
    store = DirectoryBlobs(tmp_path / "blobs")
    for key in KEYS:
        await store.put(key, b"data", 60)
    assert [path.name for path in tmp_path.iterdir()] == ["blobs"]
    assert len([path for path in (tmp_path / "blobs").rglob("*") if path.is_file()]) == len(KEYS)


async def test_sweep_deletes_what_expired_and_what_was_never_finished(tmp_path: Path) -> None:
    store = DirectoryBlobs(tmp_path)
    assert await store.sweep() == 0
    await store.put("expired", b"1", -1)
    await store.put("kept", b"2", 60)
    [kept] = [path for path in tmp_path.glob("??/*") if path.stat().st_mtime > time.time()]
    abandoned = kept.with_name("0123.abandoned.part")
    being_written = kept.with_name("0123.new.part")
    for path, age in ((abandoned, 7200), (being_written, 10)):
        path.write_bytes(b"half")
        os.utime(path, (time.time() - age, time.time() - age))

    assert await store.sweep() == 2
    assert await store.get("kept") == b"2"
    assert sorted(path for path in tmp_path.glob("??/*")) == sorted([kept, being_written])


async def test_a_failed_write_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    store = DirectoryBlobs(tmp_path)
    await store.put("key", b"before", 60)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        await store.put("key", b"after", 60)
    assert await store.get("key") == b"before"
    assert len(list(tmp_path.glob("??/*"))) == 1
