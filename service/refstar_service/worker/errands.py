"""What a worker does again and again beside its stages: heartbeats, announcements, forgetting."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

from redis.exceptions import RedisError

log = logging.getLogger(__name__)


async def repeat(act: Callable[[], Awaitable[object]], every: float, ended: asyncio.Event) -> None:
    """`act`, with ``every`` so many seconds in between, until ``ended``. What goes wrong is logged, and tried again the
    next time."""
    while not ended.is_set():
        try:
            await act()
        except (RedisError, OSError) as error:
            log.warning("%s: %s", act.__name__.strip("_"), error)
        except Exception:
            # Nobody waits for it: ended by what was not foreseen, it would be missing for as long as the worker lives.
            log.exception("%s", act.__name__.strip("_"))
        with suppress(TimeoutError):
            await asyncio.wait_for(ended.wait(), every)
