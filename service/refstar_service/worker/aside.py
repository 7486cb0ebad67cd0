"""What waits for servers outside, beside the stages: a slow one holds up its own job, and nobody else's."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from refstar_service.worker.work import Work


class Aside:
    """At most ``most`` jobs under way, with a share for every owner.

    One owner may have as many as are left free for others, so half of all alone, a third beside another one, and never
    the last: whoever comes and has none finds a place, whatever servers somebody else named. Jobs of nobody (in open
    mode there are no owners) may have all.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._tasks: dict[asyncio.Task[None], Work] = {}
        self._waiting: dict[Work, Callable[[], Coroutine[Any, Any, None]]] = {}

    def __bool__(self) -> bool:
        """Whether any is under way, or through and not taken."""
        return bool(self._tasks)

    def has_place(self, owner: str) -> bool:
        """Whether one more of this owner's may be under way."""
        owners = [work.owner for task, work in self._tasks.items() if not task.done()]
        free = self._most - len(owners)
        return (owners.count(owner) if owner else 0) < free

    def awaited_by(self, owner: str) -> bool:
        """Whether jobs of this owner wait for a place."""
        return any(work.owner == owner for work in self._waiting)

    def begin(self, work: Work, act: Coroutine[Any, Any, None]) -> None:
        """At once: there is a place."""
        task = asyncio.create_task(act)
        self._tasks[task] = work
        task.add_done_callback(lambda _: self._fill())

    def begin_in_turn(self, work: Work, act: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """As soon as there is a place."""
        self._waiting[work] = act
        self._fill()

    def take(self) -> list[Work]:
        """Those that are through, in the order in which they began. Raises what ended one, which no job is to blame
        for."""
        through = [task for task in self._tasks if task.done()]
        works = [self._tasks.pop(task) for task in through]
        for task in through:
            task.result()
        return works

    async def wait(self, seconds: float | None = None) -> None:
        """Until one is through, or for so long."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)

    async def end(self) -> list[Work]:
        """All of them, when they are through: those who wait for a server heed the end of the worker."""
        waiting, self._waiting = self._waiting, {}
        for work, act in waiting.items():
            self.begin(work, act())
        if self._tasks:
            await asyncio.wait(self._tasks)
        return self.take()

    def _fill(self) -> None:
        for work in [*self._waiting]:
            if self.has_place(work.owner):
                self.begin(work, self._waiting.pop(work)())
