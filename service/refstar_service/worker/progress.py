"""Tells those who watch how far the jobs of this worker are: rarely, all at once, and of none that ends soon."""

import logging
import time
from collections.abc import Callable, Collection, Iterable

from redis.exceptions import RedisError

from refstar_service.jobs import JobQueue, Progress, RestoreRequest
from refstar_service.worker.work import Work

log = logging.getLogger(__name__)

#: Seconds between two reports, and the least age of a job that is reported.
REPORT_EVERY = 0.5


class ProgressReports:
    """Of one worker. ``begun``: ids of the jobs that are on their way."""

    def __init__(
        self,
        queue: JobQueue,
        begun: Callable[[], Collection[str]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._queue, self._begun, self._clock = queue, begun, clock
        self._works: dict[str, tuple[Work, float]] = {}  # with the time at which it began
        self._told: dict[Work, Progress] = {}

    def follow(self, works: Iterable[Work]) -> None:
        """From now on; nobody watches an enrollment."""
        now = self._clock()
        for work in works:
            if isinstance(work.request, RestoreRequest):
                self._works[work.job_id] = (work, now)

    async def report(self) -> None:
        """What has changed since the last time, in one call. What cannot be told now is told the next time, if it still
        holds."""
        begun, now = self._begun(), self._clock()
        self._works = {name: one for name, one in self._works.items() if name in begun}
        told = {work: self._told.get(work) for work, _ in self._works.values()}
        changed = {
            work: work.progress
            for work, since in self._works.values()
            if now - since >= REPORT_EVERY and work.failure is None and work.progress != told[work]
        }
        self._told = {work: one for work, one in told.items() if one is not None}
        try:
            await self._queue.report([(work.started, progress) for work, progress in changed.items()])
        except (RedisError, OSError) as error:
            log.debug("the progress of %d jobs cannot be told: %s", len(changed), error)
        else:
            self._told |= changed
