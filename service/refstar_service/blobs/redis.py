"""Blobs in Redis: for up to a few MiB each. They cost memory, and the append-only file the same again."""

from __future__ import annotations

from redis.asyncio import Redis


class RedisBlobs:
    """`redis` must not decode responses. A full server makes `put` raise redis-py's OutOfMemoryError."""

    def __init__(self, redis: Redis, prefix: str = "refstar") -> None:
        self._redis = redis
        self._prefix = prefix

    async def put(self, key: str, data: bytes, ttl_seconds: float) -> None:
        await self._redis.set(self._name(key), data, px=max(1, round(ttl_seconds * 1000)))

    async def get(self, key: str) -> bytes | None:
        data = await self._redis.get(self._name(key))
        if data is None or isinstance(data, bytes):
            return data
        raise TypeError("blobs are bytes: give RedisBlobs a client with decode_responses=False")

    async def delete(self, *keys: str) -> None:
        if keys:
            # UNLINK frees the memory in a thread of the server; DEL of many MiB holds up everybody else.
            await self._redis.unlink(*(self._name(key) for key in keys))

    def _name(self, key: str) -> str:
        # No hash tag: in a cluster, blobs spread over all shards while the queue lives on one.
        return f"{self._prefix}:blob:{key}"
