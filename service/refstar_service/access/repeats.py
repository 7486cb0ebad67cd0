"""Requests that say that they may come twice, remembered in Redis so that what they ask for is done once.

A record is begun before anything is made, with the id under which it will be made, and settled after. Whoever finds a
record whose holder is gone goes on with the same id, so that it does not matter how far the first one came.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import time
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from secrets import token_hex

from redis.asyncio import Redis
from redis.exceptions import RedisError

from refstar_service.redis.keys import Keys
from refstar_service.redis.replies import read_text
from refstar_service.redis.runner import ScriptRunner
from refstar_service.redis.script import load_script

_BEGIN = load_script("access.begin_repeat")
_KEEP = load_script("access.keep_repeat")
_SETTLE = load_script("access.settle_repeat")
SETTLE_EVERY = 0.5  # seconds between tries to settle what Redis could not be told


class State(StrEnum):
    BEGUN = "begun"  # nobody else is at it: make it with `id`, unless it is there
    RUNNING = "running"  # another request is making it
    DONE = "done"  # it was made with `id`
    DIFFERENT = "different"  # the client's key was used for another request


@dataclass(frozen=True)
class Record:
    """`holder` and `begun_at` (by the monotonic clock) are of whoever began it, and may take their time."""

    state: State
    id: str = ""
    holder: str = ""
    begun_at: float = -math.inf


class Settlement(StrEnum):
    MADE = "made"
    REFUSED = "refused"  # nothing was made
    UNKNOWN = "unknown"  # it failed on the way


class Repeats:
    """`ttl`: seconds that a record is kept. `patience`: seconds after which a holder is taken to be gone.

    What could not be settled because Redis was away is settled once it is back: before the next request with that key,
    or by itself, for requests that come to other gateways.
    """

    def __init__(
        self, redis: Redis, *, ttl: float = 86_400.0, patience: float = 120.0, prefix: str = "refstar"
    ) -> None:
        self.ttl = ttl
        self.patience = patience
        self._keys = Keys(prefix)
        self._scripts = ScriptRunner(redis)
        self._owed: dict[tuple[str, str], Settlement] = {}  # by record and holder
        self._settling: asyncio.Task[None] | None = None

    async def begin(self, owner: str, client_key: str, fingerprint: str) -> Record:
        record, holder, begun_at = self._record(owner, client_key), token_hex(8), time.monotonic()
        for owed in [owed for owed in self._owed if owed[0] == record]:
            await self._settle_owed(*owed)
        values: list[str | float] = [
            fingerprint,
            token_hex(16),
            holder,
            self.patience,
            round(self.ttl * 1000),
        ]
        try:
            reply = await self._scripts.run(_BEGIN, [record], values)
        except BaseException:
            self._owe(record, holder, Settlement.UNKNOWN)  # it may be begun all the same
            raise
        state, identity, holder = (read_text(part) for part in reply)
        return Record(State(state), identity, holder, begun_at)

    async def keep(self, owner: str, client_key: str, record: Record) -> bool:
        """Whether nobody has taken over from the record's holder; then nobody does for half of the patience from now.
        Raises the errors of redis-py, if it is not so soon after its beginning that nobody can have."""
        if time.monotonic() - record.begun_at < self.patience / 2:
            return True
        key = self._record(owner, client_key)
        return bool(await self._scripts.run(_KEEP, [key], [record.holder, self.patience]))

    async def settle(self, owner: str, client_key: str, record: Record, outcome: Settlement) -> None:
        """What became of it; of no effect if another took over. Never fails for want of Redis."""
        key = self._record(owner, client_key)
        try:
            await self._settle(key, record.holder, outcome)
        except BaseException as error:
            self._owe(key, record.holder, outcome)
            if not isinstance(error, RedisError):
                raise

    async def _settle(self, key: str, holder: str, outcome: Settlement) -> None:
        await self._scripts.run(_SETTLE, [key], [holder, outcome, round(self.ttl * 1000)])

    def _owe(self, key: str, holder: str, outcome: Settlement) -> None:
        self._owed[key, holder] = outcome
        if self._settling is None or self._settling.done():
            self._settling = asyncio.create_task(self._settle_all())

    async def _settle_all(self) -> None:
        # As long as anybody would wait for the holder; after that it makes no difference.
        for _ in range(round(self.patience / SETTLE_EVERY)):
            await asyncio.sleep(SETTLE_EVERY)
            with suppress(RedisError):
                for owed in list(self._owed):
                    await self._settle_owed(*owed)
            if not self._owed:
                return
        self._owed.clear()

    async def _settle_owed(self, key: str, holder: str) -> None:
        if (key, holder) in self._owed:
            await self._settle(key, holder, self._owed[key, holder])
            self._owed.pop((key, holder), None)

    def _record(self, owner: str, client_key: str) -> str:
        return self._keys.repeat(owner, hashlib.sha256(client_key.encode()).hexdigest())
