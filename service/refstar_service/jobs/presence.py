"""Which workers are there: each announces itself for a while, and is absent once it no longer does."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass

from pydantic import TypeAdapter
from redis.asyncio import Redis

from refstar_service.jobs.record import RecordError, read_record
from refstar_service.redis.keys import Keys
from refstar_service.redis.replies import read_text


@dataclass(frozen=True)
class WorkerInfo:
    """A worker that takes jobs. `provider`: the onnxruntime provider in use. `started_at`: unix seconds."""

    name: str
    models: tuple[str, ...]
    provider: str = ""
    started_at: float = 0.0

    def to_json(self) -> str:
        return json.dumps(asdict(self), separators=(",", ":"))


_WORKER = TypeAdapter(WorkerInfo)


class Presence:
    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    async def announce(self, info: WorkerInfo, ttl: float) -> None:
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.sadd(self._keys.workers, info.name)
            pipe.set(self._keys.worker(info.name), info.to_json(), px=max(1, round(ttl * 1000)))
            await pipe.execute()

    async def withdraw(self, name: str) -> None:
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.delete(self._keys.worker(name))
            pipe.srem(self._keys.workers, name)
            await pipe.execute()

    async def present(self) -> list[WorkerInfo]:
        names = sorted(read_text(name) for name in await self._redis.smembers(self._keys.workers))
        if not names:
            return []
        documents = await self._redis.mget([self._keys.worker(name) for name in names])
        # A worker that announces itself just now joins the set again by that, so nothing is lost here.
        absent = [name for name, document in zip(names, documents, strict=True) if document is None]
        if absent:
            await self._redis.srem(self._keys.workers, *absent)
        found = []
        for document in documents:
            with suppress(RecordError):  # a worker that cannot be made out is of no use to anybody here
                found += [read_record(_WORKER, read_text(document))] if document is not None else []
        return found
