"""Waiting for a Redis or a blob store that is away or takes no changes for a while."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError, ReadOnlyError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from refstar_service.blobs import BlobsUnavailableError

log = logging.getLogger(__name__)
T = TypeVar("T")

LONGEST_BACKOFF = 5.0  # seconds between tries
PATIENCE = 60.0  # seconds of trying; then the job is left to whoever finds it stale

#: Passing troubles of Redis and of the blob store. Anything else is an error of ours and is not repeated.
TRANSIENT = (RedisConnectionError, RedisTimeoutError, OutOfMemoryError, ReadOnlyError, BlobsUnavailableError)
#: Refusals of a Redis that is there and cannot write now (full disk, no replica, failover). redis-py has no classes for
#: them, and from within a script they come as part of a longer message. UNBLOCKED ends a blocking read at a failover.
REFUSES_WRITES = ("MISCONF", "NOREPLICAS", "MASTERDOWN", "CLUSTERDOWN", "READONLY", "UNBLOCKED")


class GaveUpError(Exception):
    """A passing trouble did not pass."""


async def patiently(act: Callable[[], Awaitable[T]], stopping: asyncio.Event | None = None) -> T:
    """Try again while Redis is away. Raises GaveUpError after PATIENCE, or once ``stopping`` is set."""
    pause, deadline = 0.1, time.monotonic() + PATIENCE
    while True:
        try:
            return await act()
        except (RedisError, BlobsUnavailableError) as error:
            if not _may_pass(error):
                raise
            if time.monotonic() > deadline or (stopping is not None and stopping.is_set()):
                raise GaveUpError(str(error)) from error
            log.warning("Redis or the blob store does not answer, trying again: %s", error)
        await asyncio.sleep(pause)
        pause = min(2 * pause, LONGEST_BACKOFF)


def _may_pass(error: Exception) -> bool:
    refused = isinstance(error, ResponseError) and any(word in str(error) for word in REFUSES_WRITES)
    return refused or isinstance(error, TRANSIENT)
