"""Blobs in Redis: for up to a few MiB each. They cost memory, and the append-only file the same again."""

from __future__ import annotations

from redis.asyncio import Redis

from refstar_service.redis.keys import Keys


class RedisBlobs:
    """`redis` must not decode responses. A full server makes `put` raise redis-py's OutOfMemoryError."""

    def __init__(self, redis: Redis, prefix: str = "refstar") -> None:
        self._redis = redis
        self._keys = Keys(prefix)

    async def put(self, key: str, data: bytes, ttl_seconds: float) -> None:
        await self._redis.set(self._keys.blob(key), data, px=max(1, round(ttl_seconds * 1000)))

    async def get(self, key: str) -> bytes | None:
        data = await self._redis.get(self._keys.blob(key))
        if data is None or isinstance(data, bytes):
            return data
        raise TypeError("blobs are bytes: give RedisBlobs a client with decode_responses=False")

    async def check_writable(self) -> None:
        # A full or read-only server refuses a blob of no bytes too.
        await self._redis.set(self._keys.blob("check"), b"", px=1000)
        await self._redis.unlink(self._keys.blob("check"))

    async def delete(self, *keys: str) -> None:
        if keys:
            # UNLINK frees the memory in a thread of the server; DEL of many MiB holds up everybody else.
            await self._redis.unlink(*(self._keys.blob(key) for key in keys))
