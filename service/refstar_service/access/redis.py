"""Keys in Redis: the same at all gateways, and changed while they run."""

from __future__ import annotations

from collections.abc import Callable

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import WatchError

from refstar_service.access.key import ApiKey
from refstar_service.redis.keys import Keys
from refstar_service.redis.replies import read_text


class RedisKeys:
    """Raises the errors of redis-py as they come."""

    def __init__(self, redis: Redis, prefix: str = "refstar") -> None:
        self._redis = redis
        keys = Keys(prefix)
        self._keys, self._tokens = keys.api_keys, keys.api_key_tokens

    async def of_token(self, token_id: str) -> ApiKey | None:
        name = await self._redis.hget(self._tokens, token_id)
        return None if name is None else await self.get(read_text(name))

    async def get(self, name: str) -> ApiKey | None:
        text = await self._redis.hget(self._keys, name)
        return None if text is None else ApiKey.from_json(read_text(text))

    async def names(self) -> list[str]:
        return sorted(read_text(name) for name in await self._redis.hkeys(self._keys))

    async def change(self, name: str, change: Callable[[ApiKey | None], ApiKey | None]) -> ApiKey | None:
        async with self._redis.pipeline() as pipe:
            while True:
                try:
                    await pipe.watch(self._keys)
                    before = await self.get(name)
                    after = change(before)
                    pipe.multi()  # type: ignore[no-untyped-call]
                    self._replace(pipe, name, before, after)
                    await pipe.execute()
                except WatchError:
                    continue  # somebody else changed a key meanwhile
                return after

    def _replace(self, pipe: Pipeline, name: str, before: ApiKey | None, after: ApiKey | None) -> None:
        if before is not None and before.tokens:
            pipe.hdel(self._tokens, *(token.id for token in before.tokens))
        if after is None:
            pipe.hdel(self._keys, name)
            return
        pipe.hset(self._keys, name, after.to_json())
        if after.tokens:
            pipe.hset(self._tokens, mapping={token.id: name for token in after.tokens})
