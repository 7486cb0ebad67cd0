"""The places of owners at the courier: so many deliveries of each are under way at once, and what is owed beyond them
waits in Redis until one is free."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from refstar_service.webhooks.notices import Deferred

MOST_REMEMBERED = 10_000  # that wait, of all owners together; others are found when they are due again


class Places:
    """`each`: how many an owner has."""

    def __init__(self, each: int) -> None:
        self.each = each
        self._taken: Counter[str] = Counter()
        self._waiting: dict[
            str, dict[str, Deferred]
        ] = {}  # owner -> job -> notice; the one that waits longest first
        self._remembered = 0

    @property
    def left(self) -> Mapping[str, int]:
        """How many are free, of each owner who has not all of them."""
        return {owner: self.each - taken for owner, taken in self._taken.items()}

    @property
    def wanted(self) -> bool:
        """Whether one is free that somebody waits for."""
        return any(self._taken[owner] < self.each for owner in self._waiting)

    def take(self, owner: str) -> None:
        self._taken[owner] += 1

    def free(self, owner: str) -> None:
        self._taken[owner] -= 1
        if not self._taken[owner]:
            del self._taken[owner]

    def remember(self, deferred: Iterable[Deferred]) -> None:
        """These wait for places of their owners. One that does already keeps its turn."""
        for one in deferred:
            waiting = self._waiting.get(one.owner, {})
            if one.job_id not in waiting:
                if self._remembered >= MOST_REMEMBERED:
                    continue
                self._remembered += 1
            waiting[one.job_id] = one
            self._waiting[one.owner] = waiting

    def next(self, most: int) -> Sequence[Deferred]:
        """At most so many whose turn it is: for the free places of each owner, those that wait longest for them. They
        are no longer remembered."""
        chosen: list[Deferred] = []
        for owner, waiting in list(self._waiting.items()):
            room = min(self.each - self._taken[owner], most - len(chosen), len(waiting))
            chosen += [waiting.pop(next(iter(waiting))) for _ in range(room)]
            if not waiting:
                del self._waiting[owner]
        self._remembered -= len(chosen)
        return chosen
