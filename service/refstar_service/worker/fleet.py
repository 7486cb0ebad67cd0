"""Which models the workers of this Redis have, so that each takes the jobs that it can do and leaves the rest."""

import time
from collections.abc import Callable, Iterable, Mapping

from refstar_service.jobs import Attempt, JobQueue, Request

GRACE = 60.0  # seconds without a worker for a model until its jobs fail: one that starts again loads so long


class Fleet:
    """As this worker knows it. ``models``: all names that its own have, those without a version too."""

    def __init__(
        self,
        queue: JobQueue,
        models: Iterable[str],
        grace: float = GRACE,
        clock: Callable[[], float] = time.monotonic,
        defaults: Mapping[str, str] | None = None,
    ) -> None:
        """``models``: what this worker has loaded. ``defaults``: which of them a name without a version means."""
        self._queue, self._grace, self._clock = queue, grace, clock
        self._loaded, self._defaults = frozenset(models), dict(defaults or {})
        self.models = self._loaded | self._defaults.keys()
        self._began = clock()
        self._live: frozenset[str] = frozenset()  # when it last looked
        self._seen: dict[str, float] = {}  # when a live worker last had it

    async def look(self) -> None:
        """Ask who is there. Raises the troubles of Redis."""
        workers = await self._queue.workers()
        self._live = frozenset(model for worker in workers for model in worker.models)
        self._seen.update(dict.fromkeys(self._live, self._clock()))

    def resolve(self, request: Request) -> str:
        """The loaded model that a request is for. One that names no version, as of an older release, means the default
        version; what this worker does not have stays as it is."""
        return self._defaults.get(request.full_name, request.full_name)

    def name_for(self, request: Request) -> str:
        """What to call for when a job of this worker is queued again: its model, or any that is loaded here if any will
        do."""
        return request.full_name or min(self._loaded)

    def is_stray(self, attempt: Attempt) -> bool:
        """Whether a job came here by the plain name of its model, which is all that older releases can read on the
        stream, and its version is one that this worker does not have."""
        return (
            attempt.reservation.model in self._defaults and self.resolve(attempt.request) not in self._loaded
        )

    @property
    def others(self) -> frozenset[str] | None:
        """Models that other workers have, or had within the grace; None at first, when any may be somebody's."""
        now = self._clock()
        if now - self._began < self._grace:
            return None
        lately = {name for name, seen in self._seen.items() if now - seen < self._grace}
        return (self._live | lately) - self.models
