"""Slots for uploads: they bound the memory that bodies take, and each key has its share of them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from refstar_service.gateway.http.problem_types import ProblemType
from refstar_service.gateway.http.problems import ProblemError
from refstar_service.gateway.http.shares import Shares, Shortage


class UploadSlots:
    def __init__(self, slots: int) -> None:
        self._shares = Shares(slots)

    @asynccontextmanager
    async def hold(self, owner: str) -> AsyncIterator[None]:
        """One of the slots; raises ProblemError when there is none for this owner."""
        match self._shares.take(owner):
            case Shortage.OWN:
                raise _refuse(
                    f"This key is already sending {self._shares.held_by(owner)} uploads, which is its share of the "
                    f"{self._shares.most} that this gateway reads at a time"
                )
            case Shortage.ALL:
                raise _refuse(f"The service is already reading {self._shares.most} uploads")
        try:
            yield
        finally:
            self._shares.give_back(owner)


def _refuse(what: str) -> ProblemError:
    return ProblemError(
        ProblemType.TOO_MANY_UPLOADS, f"{what}. Try again in a moment.", headers={"Retry-After": "1"}
    )
