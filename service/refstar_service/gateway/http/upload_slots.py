"""Places for uploads: they bound the memory that bodies take, and no key has more than half of them."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from refstar_service.gateway.http.problems import Problem, ProblemType


class UploadPlaces:
    """Whoever comes when there is none is refused at once: waiting here would hold a connection for nothing."""

    def __init__(self, places: int) -> None:
        self.places = places
        self.places_of_a_key = (places + 1) // 2
        self._taken: Counter[str] = Counter()

    @asynccontextmanager
    async def place(self, owner: str) -> AsyncIterator[None]:
        """One of the places; `owner` is empty in open mode, where all of them are one person's."""
        if owner and self._taken[owner] >= self.places_of_a_key:
            raise _refusal(f"{self.places_of_a_key} uploads of this key are being read")
        if self._taken.total() >= self.places:
            raise _refusal(f"{self.places} uploads are being read")
        self._taken[owner] += 1
        try:
            yield
        finally:
            self._taken[owner] -= 1
            if not self._taken[owner]:
                del self._taken[owner]


def _refusal(what: str) -> Problem:
    return Problem(
        ProblemType.TOO_MANY_UPLOADS, f"{what}; try again in a moment.", headers={"Retry-After": "1"}
    )
