"""Jobs whose pictures come from servers outside or whose results go there, each owner's beside those of the others.

A job begins its way when its owner has a place at the servers that it needs. Until then it waits in a line here, which
holds a few, so that a place that becomes free is taken at once. What comes beyond goes back into the queue, behind
everything else of its owner: the next turn there is somebody else's.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any

from refstar_service.worker.aside import Aside
from refstar_service.worker.holdings import Holdings
from refstar_service.worker.intake import Intake
from refstar_service.worker.work import Work

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 1.0  # seconds until the queue is asked again for jobs that need no place


class Outside:
    """Of one worker; ``most`` jobs fetch their pictures at a time, as many deliver their results, and as many wait in
    the line."""

    def __init__(self, holdings: Holdings, intake: Intake, most: int) -> None:
        self._holdings, self._intake = holdings, intake
        self._downloads, self._deliveries = Aside(most), Aside(most)
        self._most = most
        self._line: list[Work] = []
        self._pause = 0.0  # seconds; 0: what came from the queue last could begin

    @property
    def busy(self) -> bool:
        """Whether something is to be looked after soon."""
        return bool(self._downloads or self._line)

    @property
    def full(self) -> bool:
        """Whether nobody has room for more. Where there are owners, somebody else's job may be next."""
        return len(self._line) >= self._most and not any(work.owner for work in self._line)

    def wanted(self, most: int) -> int:
        """How many jobs to reserve, of ``most``: no more than there is room for, unless others than those who have no
        place are there too."""
        return min(most, max(1, self._most - len(self._line))) if self._pause else most

    def take(self) -> list[Work]:
        """Those that can go on to the stages: they have their pictures, or need none and have a place for their result
        now. Raises what ended a download or a delivery that no job is to blame for."""
        self._deliveries.take()
        through = self._downloads.take()
        for work in [*self._line]:
            if self._may_begin(work) or self._holdings.is_unwanted(work.job_id):  # it ends at once
                self._line.remove(work)
                through += self._begin(work)
        return through

    def admit(self, begun: Sequence[Work]) -> tuple[list[Work], list[Work]]:
        """Those of the jobs that can go on to the stages at once, and those that there is no room for here. The others
        come when they are through."""
        ready: list[Work] = []
        beyond: list[Work] = []
        waiting = 0
        for work in begun:
            if work.started.attempt > 1 or self._may_begin(work):
                ready += self._begin(work)
            elif len(self._line) < self._most:
                self._line.append(work)
                waiting += 1
            else:
                beyond.append(work)
        if len(begun) > waiting + len(beyond):
            self._pause = 0.0
        elif begun:
            self._pause = min(max(FIRST_PAUSE, 2 * self._pause), LONGEST_PAUSE)
        return ready, beyond

    async def rest(self) -> None:
        """After jobs that could not begin, until one is through or it is time to look whether others have come."""
        await self.wait(self._pause)

    async def drain(self, take_in: Callable[[list[Work]], Awaitable[None]]) -> None:
        """All who fetch go on by ``take_in``, and whoever waits in the line goes back: somebody is to run alone."""
        line, self._line = self._line, []
        await self._holdings.put_back(line)
        while self._downloads:
            await self._downloads.wait()
            await take_in(self._downloads.take())

    async def wait(self, seconds: float | None = None) -> None:
        """Until one has its pictures, or for so long."""
        if self._downloads:
            await self._downloads.wait(seconds)
        else:
            await asyncio.sleep(seconds or 0)

    def deliver(self, work: Work, act: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """As soon as its owner has a place."""
        self._deliveries.begin_in_turn(work, act)

    async def end_downloads(self) -> list[Work]:
        """All who were on their way here, when the worker ends."""
        line, self._line = self._line, []
        return [*line, *await self._downloads.end()]

    async def end_deliveries(self) -> None:
        """When they are through; they heed the end of the worker."""
        await self._deliveries.end()

    def _may_begin(self, work: Work) -> bool:
        if work.output_url and not (
            self._deliveries.has_place(work.owner) and not self._deliveries.awaited_by(work.owner)
        ):
            return False
        return not work.awaits_pictures or self._downloads.has_place(work.owner)

    def _begin(self, work: Work) -> list[Work]:
        """It fetches its pictures; or it alone, if it has none to fetch."""
        if not work.awaits_pictures:
            return [work]
        unwanted = partial(self._holdings.is_unwanted, work.job_id)
        self._downloads.begin(work, work.story.tell("download", self._intake.download(work, unwanted)))
        return []
