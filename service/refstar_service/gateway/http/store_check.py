"""Whether pictures can be stored, as readiness asks: each probe would write, so an answer holds for some seconds."""

import asyncio
import logging
import time

from refstar_service.blobs import STORE_ERRORS
from refstar_service.blobs.store import BlobStore

log = logging.getLogger(__name__)

HOLDS = 5.0  # seconds


class StoreCheck:
    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        self._checked_at = float("-inf")  # by the monotonic clock
        self._writable = True
        self._checking = asyncio.Lock()

    async def is_writable(self) -> bool:
        """Asks the store at most every HOLDS seconds, however many ask this; why it is not is in the log."""
        async with self._checking:
            if time.monotonic() - self._checked_at >= HOLDS:
                try:
                    await self._blobs.check_writable()
                    self._writable = True
                except STORE_ERRORS as error:
                    log.error("pictures cannot be stored: %s", error)
                    self._writable = False
                self._checked_at = time.monotonic()
            return self._writable
