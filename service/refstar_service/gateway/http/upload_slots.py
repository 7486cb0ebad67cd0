"""Slots for uploads: they bound the memory that bodies take, and no key has more than half of them."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from refstar_service.gateway.http.problem_types import ProblemType
from refstar_service.gateway.http.problems import Problem


class UploadSlots:
    """Whoever comes when there is none is refused at once: waiting here would hold a connection for nothing."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.slots_of_a_key = (slots + 1) // 2
        self._taken: Counter[str] = Counter()

    @asynccontextmanager
    async def hold(self, owner: str) -> AsyncIterator[None]:
        """One of the slots; `owner` is empty in open mode, where all of them are one person's."""
        if owner and self._taken[owner] >= self.slots_of_a_key:
            raise _refuse(f"This key is already sending {self.slots_of_a_key} uploads")
        if self._taken.total() >= self.slots:
            raise _refuse(f"The service is already reading {self.slots} uploads")
        self._taken[owner] += 1
        try:
            yield
        finally:
            self._taken[owner] -= 1
            if not self._taken[owner]:
                del self._taken[owner]


def _refuse(what: str) -> Problem:
    return Problem(
        ProblemType.TOO_MANY_UPLOADS, f"{what}. Try again in a moment.", headers={"Retry-After": "1"}
    )
