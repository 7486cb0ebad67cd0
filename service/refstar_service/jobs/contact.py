"""Runs the scripts; tells a Redis that was restarted, flushed or demoted what it lacks, and takes note of outages."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from redis.asyncio import Redis
from redis.commands.core import AsyncScript
from redis.exceptions import NoScriptError, OutOfMemoryError, ReadOnlyError, RedisError, ResponseError

from refstar_service.jobs.keys import GROUP
from refstar_service.jobs.scripting import Call

T = TypeVar("T")


class Contact:
    """`lines`: the streams whose consumer groups must be there."""

    def __init__(self, redis: Redis, lines: Sequence[str]) -> None:
        self._redis = redis
        self._lines = lines
        self._lost = False
        self._regained_at = -math.inf  # by the monotonic clock

    @property
    def age(self) -> float:
        """Seconds since Redis answered again after an outage; 0 during one, infinite if there was none."""
        return 0.0 if self._lost else time.monotonic() - self._regained_at

    async def setup(self) -> None:
        """Create the consumer groups. Optional: every call that finds them missing does so."""
        for line in self._lines:
            try:
                # From 0, not from $: jobs that were there before the group count too.
                await self._redis.xgroup_create(line, GROUP, id="0", mkstream=True)
            except ResponseError as error:
                if "BUSYGROUP" not in str(error):
                    raise

    async def run(self, script: AsyncScript, keys: Sequence[str], values: Sequence[Any]) -> Any:
        async def once() -> Any:
            return await script(keys, values)

        return await self.mended(once)

    async def run_all(self, script: AsyncScript, calls: Sequence[Call]) -> list[Any]:
        """The script once for each call, in one round trip."""

        async def pipelined() -> list[Any]:
            async with self._redis.pipeline(transaction=False) as pipe:
                for keys, values in calls:
                    await script(keys, values, client=pipe)
                return await pipe.execute()

        return await self.mended(pipelined) if calls else []

    async def mended(self, act: Callable[[], Awaitable[T]]) -> T:
        """`act`, which may be repeated, and once more if what it lacked could be mended."""
        try:
            return await self._noted(act)
        except ResponseError as error:
            trouble = str(error)
            if "OOM command not allowed" in trouble:
                # Redis 6.2 wraps what a script met, so that redis-py does not know it.
                raise OutOfMemoryError(*error.args) from error
            if isinstance(error, ReadOnlyError) or "READONLY" in trouble:
                # A primary no more. The address may lead to its successor by now; open connections never will.
                await self._redis.connection_pool.disconnect(inuse_connections=False)
            elif "NOGROUP" in trouble:
                # Redis was flushed, or came back empty.
                await self.setup()
            elif not isinstance(error, NoScriptError):  # it came back between a script's loading and its run
                raise
        # What did run before the error may run again.
        return await self._noted(act)

    async def _noted(self, act: Callable[[], Awaitable[T]]) -> T:
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
