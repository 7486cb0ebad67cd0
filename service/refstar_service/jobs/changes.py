"""Word of changes: one subscription per process, however many clients wait for however many jobs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import NoReturn

from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from refstar_service.jobs.job import JobStatus
from refstar_service.redis.replies import read_text

log = logging.getLogger(__name__)

RECONNECT_AFTER = 1.0  # seconds
SILENCE = 30.0  # seconds without a message until the connection is checked

_GOING_ON = (JobStatus.QUEUED, JobStatus.RUNNING)


@dataclass(frozen=True, eq=False)
class _Watcher:
    changed: asyncio.Event
    end_only: bool


class Changes:
    """Tells that a job may have changed, never to what: a message can be missed, the job's hash cannot."""

    def __init__(self, redis: Redis, channel: str) -> None:
        self._redis = redis
        self._channel = channel
        self._watchers: dict[str, set[_Watcher]] = {}
        self._reader: asyncio.Task[None] | None = None
        self._opening = asyncio.Lock()

    @asynccontextmanager
    async def watch(self, job_id: str, *, end_only: bool = False) -> AsyncIterator[asyncio.Event]:
        """An event that is set when the job may have changed: clear it, read the job, then wait for it again.
        `end_only`: when it may have ended or be gone. Raises the errors of redis-py if the subscription cannot be
        opened."""
        await self._open()
        watcher = _Watcher(asyncio.Event(), end_only)
        self._watchers.setdefault(job_id, set()).add(watcher)
        try:
            yield watcher.changed
        finally:
            watchers = self._watchers[job_id]
            watchers.discard(watcher)
            if not watchers:
                del self._watchers[job_id]

    async def aclose(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.cancel()
            with suppress(asyncio.CancelledError):
                await reader

    async def _open(self) -> None:
        async with self._opening:
            if self._reader is None or self._reader.done():
                pubsub = await self._subscribe()
                self._reader = asyncio.create_task(self._read(pubsub), name="refstar-changes")

    async def _subscribe(self) -> PubSub:
        pubsub = self._redis.pubsub()
        try:
            await pubsub.subscribe(self._channel)
        except BaseException:
            await _close(pubsub)
            raise
        return pubsub

    async def _read(self, pubsub: PubSub | None) -> None:
        try:
            while True:
                try:
                    pubsub = pubsub or await self._subscribe()
                    await self._listen(pubsub)
                except Exception as error:
                    # Whatever it is: those who wait here would be told nothing any more.
                    passing = isinstance(error, (RedisError, OSError))
                    log.warning(
                        "lost the subscription to %s (%s); trying again",
                        self._channel,
                        error,
                        exc_info=None if passing else error,
                    )
                    if pubsub is not None:
                        await _close(pubsub)
                        pubsub = None
                    await asyncio.sleep(RECONNECT_AFTER)
        finally:
            if pubsub is not None:
                await _close(pubsub)

    async def _listen(self, pubsub: PubSub) -> NoReturn:
        asked = False
        while True:
            message = await pubsub.get_message(timeout=SILENCE)
            if message is None:
                if asked:
                    raise ConnectionError(f"no answer to a ping within {SILENCE:g} s")
                await pubsub.ping()
            elif message["type"] == "message":
                self._tell(read_text(message["data"]))
            elif message["type"] == "subscribe":
                # Also after a reconnection: what was said meanwhile was not heard.
                self._tell_all()
            asked = message is None

    def _tell(self, message: str) -> None:
        _, status, job_id = message.split(" ", 2)
        for watcher in self._watchers.get(job_id, ()):
            if not (watcher.end_only and status in _GOING_ON):
                watcher.changed.set()

    def _tell_all(self) -> None:
        for watchers in self._watchers.values():
            for watcher in watchers:
                watcher.changed.set()


async def _close(pubsub: PubSub) -> None:
    await pubsub.aclose()  # type: ignore[no-untyped-call]
