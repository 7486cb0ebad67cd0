"""Places for what holds a part of the gateway for a while: uploads, event streams, waits, requests. Nobody queues for
one, since that would hold a connection for nothing.

A key may take a place as long as more are free than it has: alone it gets half of them, *n* keys at once get one part
in *n* + 1 each, and whoever comes next finds one. In open mode all places are one person's.
"""

from collections import Counter
from enum import Enum


class Shortage(Enum):
    ALL = "all"  # no place is left
    OWN = "own"  # this owner has its share


class Shares:
    """`most`: places in all."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._taken: Counter[str] = Counter()

    def take(self, owner: str) -> Shortage | None:
        """Take a place for this owner (empty: open mode), unless there is a shortage; then say which."""
        free = self.most - self._taken.total()
        if free <= 0:
            return Shortage.ALL
        if owner and self._taken[owner] >= free:
            return Shortage.OWN
        self._taken[owner] += 1
        return None

    def give_back(self, owner: str) -> None:
        self._taken[owner] -= 1
        if not self._taken[owner]:
            del self._taken[owner]

    def held_by(self, owner: str) -> int:
        return self._taken[owner]
