"""Requests that say that they may come twice, remembered in Redis so that what they ask for is done once.

A record is begun before anything is made, with the id under which it will be made, and settled after. Whoever finds a
record whose holder is gone goes on with the same id, so that it does not matter how far the first one came.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from secrets import token_hex

from redis.asyncio import Redis

from refstar_service.redis.keys import Keys
from refstar_service.redis.replies import read_text
from refstar_service.redis.runner import ScriptRunner
from refstar_service.redis.script import load_script

_BEGIN = load_script("access.begin_repeat")
_SETTLE = load_script("access.settle_repeat")


class State(StrEnum):
    BEGUN = "begun"  # nobody else is at it: make it with `id`, unless it is there
    RUNNING = "running"  # another request is making it
    DONE = "done"  # it was made with `id`
    DIFFERENT = "different"  # the client's key was used for another request


@dataclass(frozen=True)
class Record:
    state: State
    id: str = ""
    holder: str = ""


class Repeats:
    """`ttl`: seconds that a record is kept. `patience`: seconds after which a holder is taken to be gone."""

    def __init__(
        self, redis: Redis, *, ttl: float = 86_400.0, patience: float = 120.0, prefix: str = "refstar"
    ) -> None:
        self.ttl = ttl
        self.patience = patience
        self._keys = Keys(prefix)
        self._scripts = ScriptRunner(redis)

    async def begin(self, owner: str, client_key: str, fingerprint: str) -> Record:
        values: list[str | float] = [
            fingerprint,
            token_hex(16),
            token_hex(8),
            self.patience,
            round(self.ttl * 1000),
        ]
        reply = await self._scripts.run(_BEGIN, [self._record(owner, client_key)], values)
        state, identity, holder = (read_text(part) for part in reply)
        return Record(State(state), identity, holder)

    async def settle(self, owner: str, client_key: str, record: Record, *, done: bool) -> None:
        """It was made (`done`), or nothing was and the next request may try. Of no effect if another took over."""
        values: list[str | float] = [record.holder, int(done), round(self.ttl * 1000)]
        await self._scripts.run(_SETTLE, [self._record(owner, client_key)], values)

    def _record(self, owner: str, client_key: str) -> str:
        return self._keys.repeat(owner, hashlib.sha256(client_key.encode()).hexdigest())
