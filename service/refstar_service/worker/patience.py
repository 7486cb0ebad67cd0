"""Waiting for a Redis or a blob store that is away or takes no changes for a while."""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError, ReadOnlyError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from refstar_service.blobs import BlobsFullError, BlobsUnavailableError

log = logging.getLogger(__name__)
T = TypeVar("T")

LONGEST_BACKOFF = 5.0  # seconds between tries
PATIENCE = 60.0  # seconds of trying; then the job is left to whoever finds it stale
FULL_PATIENCE = (
    5.0  # seconds, where there is no room: somebody has to make some, so the job fails and says so
)
LAST_TRIES = 2.0  # seconds of trying once the worker is told to stop
LOOK_EVERY = (
    0.5  # seconds in which a job that waits for a server outside notices that nobody wants it any more
)

#: Passing troubles of Redis and of the blob store. Anything else is an error of ours and is not repeated.
TRANSIENT = (RedisConnectionError, RedisTimeoutError, OutOfMemoryError, ReadOnlyError, BlobsUnavailableError)
#: Refusals of a Redis that is there and cannot write now (full disk, no replica, failover). redis-py has no classes for
#: them, and from within a script they come as part of a longer message. UNBLOCKED ends a blocking read at a failover.
REFUSES_WRITES = ("MISCONF", "NOREPLICAS", "MASTERDOWN", "CLUSTERDOWN", "READONLY", "UNBLOCKED")


class GaveUpError(Exception):
    """A passing trouble did not pass."""


class Patience:
    """How long one worker tries what fails. When it is told to stop there is little time left, and whatever it holds
    another worker can have."""

    def __init__(self) -> None:
        self._stopping = asyncio.Event()

    def heed(self, stopping: asyncio.Event) -> None:
        """From now on, `stopping` is what says that the worker is to end."""
        self._stopping = stopping

    async def wait_for(self, act: Callable[[], Awaitable[T]], *, when_stopping: float = LAST_TRIES) -> T:
        """Try again while Redis or the store is away. Raises GaveUpError after PATIENCE, or `when_stopping` seconds
        after the worker was told to stop; and BlobsFullError when there was no room for FULL_PATIENCE."""
        clock = time.monotonic
        pause, began, stop_at = 0.1, clock(), math.inf
        while True:
            try:
                return await act()
            except (RedisError, BlobsUnavailableError) as error:
                if not _may_pass(error):
                    raise
                if self._stopping.is_set():
                    stop_at = min(stop_at, clock() + when_stopping)
                if isinstance(error, BlobsFullError) and clock() >= began + FULL_PATIENCE:
                    raise
                if clock() >= min(began + PATIENCE, stop_at):
                    raise GaveUpError(str(error)) from error
                log.warning("Redis or the blob store does not answer, trying again: %s", error)
            if self._stopping.is_set():
                await asyncio.sleep(min(pause, LAST_TRIES / 4))
            else:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), pause)
            pause = min(2 * pause, LONGEST_BACKOFF)

    async def unless_over(self, act: Coroutine[Any, Any, T], unwanted: Callable[[], bool]) -> T:
        """What `act` returns, which waits for a server outside. Raises GaveUpError, and ends it, as soon as the worker
        is told to stop or the job is `unwanted`."""
        acting, stop = asyncio.create_task(act), asyncio.create_task(self._stopping.wait())
        try:
            while not acting.done():
                if self._stopping.is_set() or unwanted():
                    raise GaveUpError("the worker stops, or the job is not wanted any more")
                await asyncio.wait((acting, stop), timeout=LOOK_EVERY, return_when=asyncio.FIRST_COMPLETED)
            return acting.result()
        finally:
            for task in (acting, stop):
                task.cancel()
            await asyncio.gather(acting, stop, return_exceptions=True)


def _may_pass(error: Exception) -> bool:
    refused = isinstance(error, ResponseError) and any(word in str(error) for word in REFUSES_WRITES)
    return refused or isinstance(error, TRANSIENT)
