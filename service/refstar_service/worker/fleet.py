"""Which models the workers of this Redis have, so that each takes the jobs that it can do and leaves the rest."""

import time
from collections.abc import Callable, Iterable

from refstar_service.jobs import JobQueue

GRACE = 60.0  # seconds without a worker for a model until its jobs fail: one that starts again loads so long


class Fleet:
    """As this worker knows it; ``models`` are its own."""

    def __init__(
        self,
        queue: JobQueue,
        models: Iterable[str],
        grace: float = GRACE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._queue, self._grace, self._clock = queue, grace, clock
        self.models = frozenset(models)
        self._began = clock()
        self._live: frozenset[str] = frozenset()  # when it last looked
        self._seen: dict[str, float] = {}  # when a live worker last had it

    async def look(self) -> None:
        """Ask who is there. Raises the troubles of Redis."""
        workers = await self._queue.workers()
        self._live = frozenset(model for worker in workers for model in worker.models)
        self._seen.update(dict.fromkeys(self._live, self._clock()))

    @property
    def others(self) -> frozenset[str] | None:
        """Models that other workers have, or had within the grace; None at first, when any may be somebody's."""
        now = self._clock()
        if now - self._began < self._grace:
            return None
        lately = {name for name, seen in self._seen.items() if now - seen < self._grace}
        return (self._live | lately) - self.models
