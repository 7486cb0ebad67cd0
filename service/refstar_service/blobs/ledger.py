"""How many bytes of pictures are held, wherever they lie. The rooms of the jobs and people that they belong to keep the
account, by the functions of `lua/ledger.lua`."""

from __future__ import annotations

from dataclasses import dataclass

from redis.asyncio import Redis

from refstar_service.redis.keys import Keys
from refstar_service.redis.runner import ScriptRunner
from refstar_service.redis.script import load_script

_TOTALS = load_script("blobs.totals")


@dataclass(frozen=True)
class StoredBytes:
    """`promised` is kept free for the results of restorations that have not ended, at the most. The sum of all four is
    what `storage_bytes` limits."""

    uploads: int
    results: int
    people: int
    promised: int


class Ledger:
    """Raises the errors of redis-py as they come."""

    def __init__(self, redis: Redis, prefix: str = "refstar") -> None:
        self._scripts = ScriptRunner(redis)
        self._totals = Keys(prefix).stored_totals

    async def totals(self) -> StoredBytes:
        return StoredBytes(*(int(bytes_) for bytes_ in await self._scripts.run(_TOTALS, [self._totals])))
