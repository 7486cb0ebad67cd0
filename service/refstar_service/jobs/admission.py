"""Room for jobs: how many, how many bytes of pictures, whose, and how much of Redis they may take."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

#: Seconds for which a claim keeps room for a submission whose uploads are being stored.
CLAIM_HOLDS = 60
#: Seconds that a fetched result stays at least: whoever fetched it may have to do so again.
FETCHED_STAYS = 60


class Limit(StrEnum):
    JOBS = "jobs"  # waiting or running
    BYTES = "bytes"  # of all uploads, results and people
    QUOTA = "quota"  # of this owner's
    SHARE = "share"  # of this owner's, where room is scarce
    MEMORY = "memory"  # bytes of Redis, taken or promised


class QueueFullError(Exception):
    """There is no room for a job; nothing was stored.

    `what` has been reached: there are `depth` of them, and there may be `limit`; `own` bytes are held for whoever asks.
    There is room again in `seconds`, at the latest, as far as can be told. `evicted`: blobs that are to be deleted.
    """

    def __init__(
        self,
        depth: int,
        limit: int,
        what: Limit = Limit.JOBS,
        *,
        own: int = 0,
        seconds: int = 5,
        evicted: tuple[str, ...] = (),
    ) -> None:
        super().__init__(f"there are {depth} {what} and may be {limit}")
        self.depth = depth
        self.limit = limit
        self.what = what
        self.own = own
        self.seconds = seconds
        self.evicted = evicted


class JobTooLargeError(Exception):
    """A job that an empty store would not have room for either: it may need `asked` bytes, of `limit` (`what`)."""

    def __init__(self, asked: int, limit: int, what: Limit) -> None:
        super().__init__(f"a job of {asked} bytes, of {limit} ({what})")
        self.asked = asked
        self.limit = limit
        self.what = what


@dataclass(frozen=True)
class Claim:
    """Room kept free for one job: bytes of its uploads, and bytes that its results may have at the most. `evicted`:
    blobs of results that made room for it, which are to be deleted."""

    job_id: str
    uploads: int
    results: int
    evicted: tuple[str, ...] = ()
