"""What all event streams of a gateway share: how many there may be, and one look at the queue for all of them."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from refstar_service.gateway.http.problem_types import ProblemType
from refstar_service.gateway.http.problems import ProblemError
from refstar_service.gateway.http.shares import Shares, Shortage
from refstar_service.jobs import JobQueue

FRESH = 1.0  # seconds for which a place in the queue is good enough to be told


class Streams:
    """One per gateway. `most`: streams open at the same time, of which each key has its share."""

    def __init__(self, queue: JobQueue, most: int) -> None:
        self._queue = queue
        self._shares = Shares(most)
        self._open: Counter[str] = Counter()
        self._places: dict[str, int | None] = {}
        self._looked_at = -FRESH
        self._looking = asyncio.Lock()

    @contextmanager
    def open(self, job_id: str, owner: str) -> Iterator[None]:
        """A stream of this job for as long as it is open. Raises ProblemError when there are too many, or this owner
        has its share."""
        match self._shares.take(owner):
            case Shortage.OWN:
                raise _refuse(
                    f"This key has {self._shares.held_by(owner)} event streams open, which is its share of the "
                    f"{self._shares.most} of this gateway"
                )
            case Shortage.ALL:
                raise _refuse(f"All {self._shares.most} event streams of this gateway are in use")
        self._open[job_id] += 1
        try:
            yield
        finally:
            self._shares.give_back(owner)
            self._open[job_id] -= 1
            if not self._open[job_id]:
                del self._open[job_id]
                self._places.pop(job_id, None)

    async def position(self, job_id: str) -> int | None:
        """How many jobs come before it, as of a second ago at most. A thousand streams cost the queue one look."""
        async with self._looking:
            now = asyncio.get_running_loop().time()
            if now - self._looked_at >= FRESH:
                watched = list(self._open)
                self._places = dict(zip(watched, await self._queue.positions(watched), strict=True))
                self._looked_at = now
            elif job_id not in self._places:
                self._places[job_id] = await self._queue.position(job_id)
        return self._places.get(job_id)


def _refuse(what: str) -> ProblemError:
    return ProblemError(
        ProblemType.TOO_MANY_STREAMS,
        f"{what}. Poll instead, or try again in a moment.",
        headers={"Retry-After": "5"},
    )
