"""Runs scripts, and mends what a Redis lacks that was restarted, flushed or demoted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from redis.asyncio import Redis
from redis.exceptions import NoScriptError, OutOfMemoryError, ReadOnlyError, ResponseError

from refstar_service.redis.script import Script

Call = tuple[Sequence[str], Sequence[Any]]  # KEYS, ARGV
T = TypeVar("T")

MENDED_AT_MOST = 2  # times for one call: a Redis that came back empty lacks scripts and groups


class ScriptRunner:
    """Errors are those of redis-py. Every script may be sent twice: a reply may get lost."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def run(self, script: Script, keys: Sequence[str], values: Sequence[Any] = ()) -> Any:
        command = _command(script, (keys, values))

        async def send() -> Any:
            return await self._redis.execute_command(*command)  # type: ignore[no-untyped-call]

        return await self.run_mended(send, script)

    async def run_all(self, script: Script, calls: Sequence[Call]) -> list[Any]:
        """The script once for each call, in one round trip."""
        if len(calls) == 1:  # a pipeline costs half as much again
            return [await self.run(script, *calls[0])]
        commands = [_command(script, call) for call in calls]

        async def send() -> list[Any]:
            async with self._redis.pipeline(transaction=False) as pipe:
                for command in commands:
                    pipe.execute_command(*command)
                return await pipe.execute()

        return await self.run_mended(send, script) if calls else []

    async def run_mended(self, act: Callable[[], Awaitable[T]], script: Script | None = None) -> T:
        """`act`, which may be repeated, and again if what it lacked could be mended. `script`: what it runs."""
        for _ in range(MENDED_AT_MOST):
            try:
                return await self._attempt(act)
            except ResponseError as error:
                await self._mend(error, script)
        # What did run before the error may run again.
        return await self._attempt(act)

    async def _attempt(self, act: Callable[[], Awaitable[T]]) -> T:
        return await act()

    async def _mend(self, error: ResponseError, script: Script | None) -> None:
        """Raises what cannot be mended."""
        trouble = str(error)
        if "OOM command not allowed" in trouble:
            # Redis 6.2 wraps what a script met, so that redis-py does not know it.
            raise OutOfMemoryError(*error.args) from error
        if isinstance(error, ReadOnlyError) or "READONLY" in trouble:
            # A primary no more. The address may lead to its successor by now; open connections never will.
            await self._redis.connection_pool.disconnect(inuse_connections=False)
        elif isinstance(error, NoScriptError) and script is not None:
            # The first time here, or Redis came back. Whether a script is there is not asked before: a round trip more.
            await self._redis.script_load(script.source)
        else:
            raise error


def _command(script: Script, call: Call) -> tuple[Any, ...]:
    """What runs it, if it is loaded; else Redis says NOSCRIPT."""
    keys, values = call
    return ("EVALSHA", script.sha, len(keys), *keys, *values)
