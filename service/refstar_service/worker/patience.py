"""Waiting for a Redis or a blob store that is away or takes no changes for a while."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError, ReadOnlyError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

log = logging.getLogger(__name__)
T = TypeVar("T")

LONGEST_BACKOFF = 5.0  # seconds between tries
PATIENCE = 60.0  # seconds of trying; then the job is left to whoever finds it stale

#: Passing troubles of Redis and of the blob store. Anything else is an error of ours and is not repeated.
TRANSIENT = (RedisConnectionError, RedisTimeoutError, OutOfMemoryError, ReadOnlyError, OSError)
#: Refusals of a Redis that is there and cannot write now (full disk, no replica, failover). redis-py has no classes for
#: them, and from within a script they come as part of a longer message. UNBLOCKED ends a blocking read at a failover.
REFUSES_WRITES = ("MISCONF", "NOREPLICAS", "MASTERDOWN", "CLUSTERDOWN", "READONLY", "UNBLOCKED")


class GaveUp(Exception):  # noqa: N818  the end of patience
    """A passing trouble did not pass. An exception of its own: the OSError of an encoder is no trouble of a store."""


class WritesRefused(OSError):  # noqa: N818  the refusal of another, passed on as TRANSIENT
    """Redis answers, but does not take changes now."""


async def patiently(act: Callable[[], Awaitable[T]], stopping: asyncio.Event | None = None) -> T:
    """Try again while Redis is away. Raises GaveUp after PATIENCE, or once ``stopping`` is set."""
    pause, deadline = 0.1, time.monotonic() + PATIENCE
    while True:
        try:
            return await _as_transient(act)
        except TRANSIENT as error:
            if time.monotonic() > deadline or (stopping is not None and stopping.is_set()):
                raise GaveUp(str(error)) from error
            log.warning("Redis or the blob store does not answer, trying again: %s", error)
        await asyncio.sleep(pause)
        pause = min(2 * pause, LONGEST_BACKOFF)


async def _as_transient(act: Callable[[], Awaitable[T]]) -> T:
    try:
        return await act()
    except ResponseError as error:
        if any(word in str(error) for word in REFUSES_WRITES):
            raise WritesRefused(str(error)) from error
        raise
