"""How many connections there may be, and which one goes when there are more: the one that has been idle for longest.

A connection takes a file, and so does each command to Redis that it waits for. Without a limit of our own, the limit of
open files would lock everybody out, and connections that ask for nothing cost their owner nothing.
"""

import logging
import resource
from typing import Protocol

from refstar_service.gateway.http.shares import Shares

FILES_OF_A_CONNECTION = 2  # its own, and one to Redis
OTHER_FILES = 64  # libraries, logs, models, pipes
FEWEST = 16

log = logging.getLogger(__name__)


class Connection(Protocol):
    def make_room(self) -> None:
        """Close: it is idle, and another one needs its place."""


class Connections:
    """One per gateway. `requests` are places for requests in progress, of which each key has its share."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.requests = Shares(most)
        self._open: set[Connection] = set()
        self._idle: dict[Connection, None] = {}  # in the order in which they became so

    def admit(self, new: Connection) -> bool:
        """Whether there is room for it, if need be in the place of one that is idle."""
        if len(self._open) >= self.most:
            oldest = next(iter(self._idle), None)
            if oldest is None:
                return False
            self.forget(oldest)
            oldest.make_room()
        self._open.add(new)
        self._idle[new] = None
        return True

    def mark_busy(self, one: Connection) -> None:
        self._idle.pop(one, None)

    def mark_idle(self, one: Connection) -> None:
        if one in self._open:
            self._idle[one] = None

    def forget(self, one: Connection) -> None:
        self._open.discard(one)
        self._idle.pop(one, None)


def allow_connections(wanted: int) -> int:
    """How many of the wanted connections this process may have; raises its limit of open files for them if it may."""
    files = FILES_OF_A_CONNECTION * wanted + OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if _is_less(soft, files):
        soft = files if _is_less(files, hard) else hard
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if not _is_less(soft, files):
        return wanted
    allowed = max(FEWEST, (soft - OTHER_FILES) // FILES_OF_A_CONNECTION)
    log.warning(
        "at most %d connections instead of %d (REFSTAR_MAX_CONNECTIONS): this process may have %d files open "
        "(ulimit -n), and it needs %d",
        allowed,
        wanted,
        soft,
        files,
    )
    return min(allowed, wanted)


def _is_less(one: int, other: int) -> bool:
    return one != resource.RLIM_INFINITY and (other == resource.RLIM_INFINITY or one < other)
