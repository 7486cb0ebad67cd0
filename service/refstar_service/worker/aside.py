"""What waits for servers outside, beside the stages: a slow one holds up its own job, and nobody else's."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from refstar_service.worker.work import Work


class Aside:
    """Jobs under way; it is full with ``most`` of them."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._tasks: dict[asyncio.Task[None], Work] = {}

    @property
    def full(self) -> bool:
        return len(self._tasks) >= self._most

    def __len__(self) -> int:
        return len(self._tasks)

    def has(self, work: Work) -> bool:
        return work in self._tasks.values()

    def begin(self, work: Work, act: Coroutine[Any, Any, None]) -> None:
        self._tasks[asyncio.create_task(act)] = work

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
        if self._tasks:
            await asyncio.wait(self._tasks)
        return self.take()
