"""The seam between jobs and their bytes. Each store is one class with these three methods."""

from __future__ import annotations

from typing import Protocol


class BlobStore(Protocol):
    async def put(self, key: str, data: bytes, ttl_seconds: float) -> None:
        """Keep `data` under `key` for `ttl_seconds`, replacing what was there. Readers see all or nothing."""

    async def get(self, key: str) -> bytes | None:
        """The bytes, or None once they are deleted or past their time."""

    async def delete(self, *keys: str) -> None:
        """Forget these; keys that are not there are fine."""
