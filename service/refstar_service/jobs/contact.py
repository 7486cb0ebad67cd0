"""The queue's way to Redis: sees to its consumer groups, and takes note of outages."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError, ResponseError

from refstar_service.redis.keys import GROUP
from refstar_service.redis.runner import ScriptRunner
from refstar_service.redis.script import Script

T = TypeVar("T")


class Contact(ScriptRunner):
    """`lines`: the streams whose consumer groups must be there."""

    def __init__(self, redis: Redis, lines: Sequence[str]) -> None:
        super().__init__(redis)
        self._lines = lines
        self._lost = False
        self._regained_at = -math.inf  # by the monotonic clock

    @property
    def age(self) -> float:
        """Seconds since Redis answered again after an outage; 0 during one, infinite if there was none."""
        return 0.0 if self._lost else time.monotonic() - self._regained_at

    async def create_groups(self) -> None:
        """Optional: every call that finds the consumer groups missing does so."""
        for line in self._lines:
            try:
                # From 0, not from $: jobs that were there before the group count too.
                await self._redis.xgroup_create(line, GROUP, id="0", mkstream=True)
            except ResponseError as error:
                if "BUSYGROUP" not in str(error):
                    raise

    async def _mend(self, error: ResponseError, script: Script | None) -> None:
        if "NOGROUP" in str(error):
            # Redis was flushed, or came back empty.
            await self.create_groups()
        else:
            await super()._mend(error, script)

    async def _attempt(self, act: Callable[[], Awaitable[T]]) -> T:
        try:
            reply = await act()
        except RedisError as error:
            # Without its groups or scripts it is there all the same.
            self._lost |= not isinstance(error, NoScriptError) and "NOGROUP" not in str(error)
            raise
        if self._lost:
            self._lost = False
            self._regained_at = time.monotonic()
        return reply
