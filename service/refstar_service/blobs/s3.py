"""Blobs as objects of an S3 bucket, for services on several machines. Needs the extra `s3`.

An object's name is the SHA-256 of its key below the prefix of the URL. Until when it may be read is in its metadata,
since a bucket's own lifecycle rules know only days: `sweep` deletes what is over. Clocks must agree to seconds.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from obstore.exceptions import BaseError
from obstore.store import S3Store

from refstar_service.blobs.store import BlobsFullError, BlobsUnavailableError

EXPIRES = "refstar-expires"  # unix seconds
NO_BUCKET = "NoSuchBucket"
#: What servers say that have no room: MinIO's, Ceph's and the general one.
FULL = ("XMinioStorageFull", "QuotaExceeded", "InsufficientStorage", "507 ")
AT_ONCE = 16  # requests of one sweep at the same time

Stamp = tuple[datetime, str | None]


class S3Blobs:
    """`url`: `s3://bucket` or `s3://bucket/prefix`. Region, endpoint and credentials come from where AWS's own tools
    look: `AWS_REGION`, `AWS_ENDPOINT_URL`, `AWS_ACCESS_KEY_ID` and so on, or the machine's role."""

    sweep_every = 600.0  # seconds; a sweep lists the whole prefix

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme != "s3" or not parts.netloc:
            raise ValueError(f"{url!r} is not s3://bucket or s3://bucket/prefix")
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL", "")
        self._store = S3Store(
            parts.netloc,
            prefix=parts.path.strip("/") or None,
            client_options={
                "allow_http": endpoint.startswith("http://"),  # else its client refuses such an endpoint
                "connect_timeout": "5s",
                "timeout": "30s",
            },
            retry_config={"max_retries": 3, "retry_timeout": timedelta(seconds=20)},
        )
        self._lasting: dict[
            str, tuple[Stamp, float]
        ] = {}  # what the last sweep saw: when each object expires

    async def put(self, key: str, data: bytes, ttl_seconds: float) -> None:
        with _may_fail_to("write"):
            attributes = {EXPIRES: f"{time.time() + ttl_seconds:.3f}"}
            # In one request, which is all or nothing.
            await self._store.put_async(_name(key), data, attributes=attributes, use_multipart=False)

    async def check_writable(self) -> None:
        name = "check"  # one object, written again and again
        with _may_fail_to("write"):
            await self._store.put_async(name, b"", attributes={EXPIRES: "0"}, use_multipart=False)

    async def get(self, key: str) -> bytes | None:
        with _may_fail_to("read"):
            try:
                found = await self._store.get_async(_name(key))
                if _expires(found.attributes) <= time.time():
                    return None
                return bytes(await found.bytes_async())
            except FileNotFoundError as error:
                if NO_BUCKET in str(error):
                    raise
                return None

    async def delete(self, *keys: str) -> None:
        if keys:
            with _may_fail_to("delete"):
                # One by one: not every server that calls itself S3 knows the request that deletes many.
                await asyncio.gather(*(self._delete(_name(key)) for key in keys))

    async def sweep(self) -> int:
        """Delete what has expired; returns how many objects. Each is asked for its time once."""
        count, seen = 0, dict[str, tuple[Stamp, float]]()
        with _may_fail_to("list"):
            async for page in self._store.list():
                names = {meta["path"]: (meta["last_modified"], meta["e_tag"]) for meta in page}
                for few in _groups(list(names)):
                    expiring = await asyncio.gather(*(self._expires(name, names[name]) for name in few))
                    over = [name for name, at in zip(few, expiring, strict=True) if at <= time.time()]
                    await asyncio.gather(*(self._delete(name) for name in over))
                    seen |= {
                        name: (names[name], at)
                        for name, at in zip(few, expiring, strict=True)
                        if name not in over
                    }
                    count += len(over)
        self._lasting = seen
        return count

    async def _expires(self, name: str, stamp: Stamp) -> float:
        known, at = self._lasting.get(name, (None, 0.0))
        # Also when that time is over: in the same second, it may have been written again to last longer.
        if known == stamp and at > time.time():
            return at
        try:
            return _expires((await self._store.get_async(name, options={"head": True})).attributes)
        except FileNotFoundError:
            return float("inf")  # somebody else has deleted it

    async def _delete(self, name: str) -> None:
        with suppress(FileNotFoundError):
            await self._store.delete_async(name)


def _name(key: str) -> str:
    name = hashlib.sha256(key.encode()).hexdigest()
    return f"{name[:2]}/{name}"


def _expires(attributes: object) -> float:
    """Unix seconds; what was put there by others, without a time, never expires."""
    try:
        return float(attributes[EXPIRES])  # type: ignore[index]
    except (KeyError, ValueError):
        return float("inf")


def _groups(names: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(names), AT_ONCE):
        yield names[start : start + AT_ONCE]


@contextmanager
def _may_fail_to(act: str) -> Iterator[None]:
    try:
        yield
    except (BaseError, OSError) as error:
        # The first line says what happened; what the library knows of it follows on hundreds more.
        reason = (
            "there is no such bucket" if NO_BUCKET in str(error) else str(error).strip().partition("\n")[0]
        )
        kind = BlobsFullError if any(word in str(error) for word in FULL) else BlobsUnavailableError
        raise kind(f"S3 cannot {act}: {reason}") from error
