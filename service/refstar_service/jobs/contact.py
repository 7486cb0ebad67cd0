"""Runs the scripts; tells a Redis that was restarted, flushed or demoted what it lacks, and takes note of outages."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from redis.asyncio import Redis
from redis.exceptions import NoScriptError, OutOfMemoryError, ReadOnlyError, RedisError, ResponseError

from refstar_service.redis.keys import GROUP
from refstar_service.redis.scripting import Call, Script

T = TypeVar("T")

MENDED_AT_MOST = 2  # times for one call: a Redis that came back empty lacks scripts and groups


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

    async def run(self, script: Script, keys: Sequence[str], values: Sequence[Any]) -> Any:
        command = script.command((keys, values))

        async def once() -> Any:
            return await self._redis.execute_command(*command)  # type: ignore[no-untyped-call]

        return await self.mended(once, script)

    async def run_all(self, script: Script, calls: Sequence[Call]) -> list[Any]:
        """The script once for each call, in one round trip."""
        if len(calls) == 1:  # a pipeline costs half as much again
            return [await self.run(script, *calls[0])]
        commands = [script.command(call) for call in calls]

        async def pipelined() -> list[Any]:
            async with self._redis.pipeline(transaction=False) as pipe:
                for command in commands:
                    pipe.execute_command(*command)
                return await pipe.execute()

        return await self.mended(pipelined, script) if calls else []

    async def mended(self, act: Callable[[], Awaitable[T]], script: Script | None = None) -> T:
        """`act`, which may be repeated, and again if what it lacked could be mended. `script`: what it runs."""
        for _ in range(MENDED_AT_MOST):
            try:
                return await self._noted(act)
            except ResponseError as error:
                await self._mend(error, script)
        # What did run before the error may run again.
        return await self._noted(act)

    async def _mend(self, error: ResponseError, script: Script | None) -> None:
        """Raises what cannot be mended."""
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
        elif isinstance(error, NoScriptError) and script is not None:
            # The first time here, or Redis came back. Whether a script is there is not asked before: a round trip more.
            await self._redis.script_load(script.source)
        else:
            raise error

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
