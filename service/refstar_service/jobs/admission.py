"""Room in the queue: how many jobs, how many bytes, and how much of Redis they may take."""

from __future__ import annotations

from dataclasses import dataclass

#: Seconds for which a claim keeps room for a submission whose uploads are being stored.
CLAIM_HOLDS = 60


class QueueFullError(Exception):
    """There is no room for a job; nothing was stored. Try again later.

    `what`: "jobs" (waiting or running), "bytes" (of their uploads and of the results they may have) or "memory"
    (bytes of Redis, taken or promised). There are `depth` of them, and there may be `limit`.
    """

    def __init__(self, depth: int, limit: int, what: str = "jobs") -> None:
        super().__init__(f"the queue holds {depth} {what} and admits {limit}; try again later")
        self.depth = depth
        self.limit = limit
        self.what = what


@dataclass(frozen=True)
class Claim:
    """Room kept free for one job: bytes of its uploads, and bytes that its results may have at the most."""

    job_id: str
    uploads: int
    results: int

    @property
    def member(self) -> str:
        return f"{self.uploads + self.results} {self.job_id}"
