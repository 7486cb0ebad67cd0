"""One set of promises, kept by every blob store."""

import asyncio
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from obstore.store import S3Store
from redis.asyncio import Redis
from refstar_service.blobs import (
    BlobsFullError,
    BlobStore,
    BlobsUnavailableError,
    DirectoryBlobs,
    RedisBlobs,
    SweptBlobStore,
)
from refstar_service.blobs.s3 import S3Blobs
from s3_process import run_s3_server


@pytest.fixture(scope="module")
def s3_server() -> Iterator[str]:
    with run_s3_server() as address:
        yield address


@pytest.fixture
def s3(s3_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> S3Blobs:
    """A store below a prefix of its own."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"):
        monkeypatch.setenv(name, "test")
    return S3Blobs(f"s3://pictures/{tmp_path.name}")


@pytest.fixture(params=["redis", "directory", "s3"])
def store(request: pytest.FixtureRequest, redis: Redis, tmp_path: Path) -> BlobStore:
    if request.param == "s3":
        return request.getfixturevalue("s3")  # type: ignore[no-any-return]
    return RedisBlobs(redis) if request.param == "redis" else DirectoryBlobs(tmp_path / "blobs")


@pytest.fixture(params=["directory", "s3"])
def swept(request: pytest.FixtureRequest, tmp_path: Path) -> SweptBlobStore:
    return request.getfixturevalue("s3") if request.param == "s3" else DirectoryBlobs(tmp_path / "blobs")


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


async def test_a_sweep_takes_what_has_expired_and_leaves_the_rest(swept: SweptBlobStore) -> None:
    assert await swept.sweep() == 0
    for number in range(18):
        await swept.put(f"over {number}", b"1", -1)
        await swept.put(f"kept {number}", b"2", 60)
    assert await swept.sweep() == 18
    assert await swept.sweep() == 0
    assert [await swept.get(f"kept {number}") for number in range(18)] == [b"2"] * 18


async def test_a_sweep_spares_what_was_written_again_to_last_longer(swept: SweptBlobStore) -> None:
    await swept.put("key", b"same", 0.2)
    assert await swept.sweep() == 0
    await swept.put("key", b"same", 60)
    await asyncio.sleep(0.25)
    assert await swept.sweep() == 0
    assert await swept.get("key") == b"same"


async def test_two_sweeps_at_once_do_not_trip_over_each_other(swept: SweptBlobStore) -> None:
    for number in range(10):
        await swept.put(f"over {number}", b"1", -1)
    assert sum(await asyncio.gather(swept.sweep(), swept.sweep())) >= 10
    assert await swept.sweep() == 0


async def test_what_others_keep_in_the_bucket_is_left_alone(s3: S3Blobs, tmp_path: Path) -> None:
    bucket = S3Store("pictures", client_options={"allow_http": True})
    strangers = ["ab/stranger", f"{tmp_path.name}/ab/stranger"]
    for name in strangers:
        await bucket.put_async(name, b"mine")
    await s3.put("over", b"1", -1)
    assert await s3.sweep() == 1
    assert [bytes(bucket.get(name).bytes()) for name in strangers] == [b"mine", b"mine"]


async def test_a_bucket_that_is_not_there_is_no_empty_one(s3: S3Blobs) -> None:
    absent = S3Blobs("s3://absent/prefix")
    with pytest.raises(BlobsUnavailableError, match="cannot write: there is no such bucket"):
        await absent.put("key", b"data", 60)
    with pytest.raises(BlobsUnavailableError, match="cannot read: there is no such bucket"):
        await absent.get("key")


async def test_an_s3_that_is_away_is_unavailable_in_one_line(
    s3: S3Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(BlobsUnavailableError, match=r"\AS3 cannot read: [^\n]+\Z"):
        await S3Blobs("s3://pictures").get("key")


@pytest.mark.parametrize("url", ["https://pictures", "s3://", "pictures", "s3:pictures"])
def test_a_url_that_names_no_bucket_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="is not s3://bucket"):
        S3Blobs(url)


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


async def test_a_store_that_can_be_written_says_so_and_keeps_nothing(store: BlobStore) -> None:
    await store.check_writable()
    if not isinstance(store, RedisBlobs):
        await store.sweep()  # type: ignore[attr-defined]
    assert await store.get("check") is None


async def test_faces_on_disk_are_for_the_service_alone(tmp_path: Path) -> None:
    old = tmp_path / "blobs"
    old.mkdir(mode=0o755)
    old.chmod(0o755)  # whatever the umask is
    for folder in (old, tmp_path / "new"):
        store = DirectoryBlobs(folder)
        before = os.umask(0)
        try:
            await store.put("face", b"1", 60)
        finally:
            os.umask(before)
        modes = {path.stat().st_mode & 0o777 for path in (folder, *folder.rglob("*")) if path.is_dir()}
        assert all(mode & 0o007 == 0 for mode in modes)
        assert [path.stat().st_mode & 0o777 for path in folder.rglob("*") if path.is_file()] == [0o600]
    assert {path.stat().st_mode & 0o777 for path in ((tmp_path / "new"), *(tmp_path / "new").iterdir())} == {
        0o700
    }


async def test_a_directory_that_cannot_be_written_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BlobsUnavailableError, match="cannot write"):
        await DirectoryBlobs(tmp_path / "file").check_writable()


async def test_a_bucket_that_cannot_be_written_is_no_store(s3: S3Blobs) -> None:
    with pytest.raises(BlobsUnavailableError, match="cannot write: there is no such bucket"):
        await S3Blobs("s3://absent/prefix").check_writable()


async def test_a_failed_write_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    store = DirectoryBlobs(tmp_path)
    await store.put("key", b"before", 60)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BlobsFullError, match="No space left"):
        await store.put("key", b"after", 60)
    with pytest.raises(BlobsFullError):
        await store.check_writable()
    assert await store.get("key") == b"before"
    assert len(list(tmp_path.glob("??/*"))) == 1
