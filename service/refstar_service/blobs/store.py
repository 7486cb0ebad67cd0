"""The seam between jobs and their bytes. Each store is one class with these four methods.

A store that does not answer or takes nothing raises BlobsUnavailableError, or redis-py's errors where it is Redis.
"""

from __future__ import annotations

from typing import Protocol

from redis.exceptions import RedisError


class BlobsUnavailableError(Exception):
    """The store cannot do now what it was asked to: it is away, full, or may not be written. It may pass."""


class BlobsFullError(BlobsUnavailableError):
    """There is no room for what is to be written: the disk, its quota or the bucket is full."""


#: Of any store: for whoever can go on without what was asked of it, wherever blobs lie.
STORE_ERRORS = (BlobsUnavailableError, RedisError)


class BlobStore(Protocol):
    async def put(self, key: str, data: bytes, ttl_seconds: float) -> None:
        """Keep `data` under `key` for `ttl_seconds`, replacing what was there. Readers see all or nothing."""

    async def get(self, key: str) -> bytes | None:
        """The bytes, or None once they are deleted or past their time."""

    async def delete(self, *keys: str) -> None:
        """Forget these; keys that are not there are fine."""

    async def check_writable(self) -> None:
        """Raises what `put` would raise now, whatever is put."""


class SweptBlobStore(BlobStore, Protocol):
    """A store in which what has expired takes up space until somebody sweeps."""

    sweep_every: float  # seconds

    async def sweep(self) -> int:
        """Delete what has expired; returns how many. Any number of processes may do so at the same time."""
