"""Whoever holds an answer open with a token is told when the token is revoked: streams and waits then end at once."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.exceptions import RedisError

from refstar_service.access import KeyStore
from refstar_service.access.file import KeyFileError

LOOK_EVERY = 1.0  # seconds; one look per token, however many streams it has

log = logging.getLogger(__name__)


class Revocations:
    """One per gateway. `keys`: None in open mode, where nothing is revoked."""

    def __init__(self, keys: KeyStore | None) -> None:
        self._keys = keys
        self._holders: Counter[str] = Counter()
        self._events: dict[str, asyncio.Event] = {}
        self._looking: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def watch(self, token_id: str) -> AsyncIterator[asyncio.Event]:
        """An event that is set once this token is revoked; never for the empty one, of open mode."""
        if self._keys is None or not token_id:
            yield asyncio.Event()
            return
        event = self._events.setdefault(token_id, asyncio.Event())
        self._holders[token_id] += 1
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look(self._keys))
        try:
            yield event
        finally:
            self._holders[token_id] -= 1
            if not self._holders[token_id]:
                del self._holders[token_id], self._events[token_id]

    async def _look(self, keys: KeyStore) -> None:
        """As long as anybody watches."""
        while self._events:
            await asyncio.sleep(LOOK_EVERY)
            for token_id, event in list(self._events.items()):
                try:
                    if await keys.of_token(token_id) is None:
                        event.set()
                except (RedisError, KeyFileError) as error:
                    # What cannot be read revokes nothing: an outage must not end every stream.
                    log.warning("whether keys were revoked cannot be seen: %s", error)
                    break
                except Exception:
                    # Of this key alone: who holds others must be told all the same.
                    log.exception("whether a key was revoked cannot be seen")
