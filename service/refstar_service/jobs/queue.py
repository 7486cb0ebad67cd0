"""The queue: jobs wait in Redis Streams, workers reserve them in batches, each gets exactly one recorded outcome.

Delivery is at least once. What makes the outcome single is the fence: every start gets a new number, and only the
bearer of the latest one can finish. All changes of a job are Lua scripts (scripts/*.lua), so a half-made change
cannot be seen; every script may be repeated, so a client that lost a reply can simply send it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from redis.asyncio import Redis

from refstar_service.jobs.job import Job, JobRequest, Outcome, Priority
from refstar_service.jobs.presence import WorkerInfo


class QueueFull(Exception):
    """`limit` jobs are waiting or running already; nothing was stored. Try again later."""

    def __init__(self, depth: int, limit: int) -> None:
        super().__init__(f"the queue holds {depth} jobs and admits {limit}; try again later")
        self.depth = depth
        self.limit = limit


@dataclass(frozen=True)
class Reservation:
    """A job held for this worker, not yet begun. `retried`: an earlier attempt did not end, so run it alone."""

    job_id: str
    priority: Priority
    entry: str  # id of its stream entry
    retried: bool


@dataclass(frozen=True)
class Started:
    """The right to finish one job, until somebody starts it again. `attempt` counts from 1."""

    job_id: str
    attempt: int
    fence: int  # never repeats for one job, unlike `attempt`, which a release takes back
    request: JobRequest
    reservation: Reservation


Held = Reservation | Started


@dataclass(frozen=True)
class LineStatus:
    """One priority at a glance. `depth` = waiting + held by workers; `oldest` is the longest wait in seconds."""

    depth: int
    waiting: int
    held: int
    oldest: float


class JobQueue:
    """One instance per process, safe for concurrent use by tasks of one event loop.

    `limit` caps jobs waiting and running together. `job_ttl`: seconds a job may wait, and again run, before it is
    given up. `result_ttl`: seconds a finished job stays readable; for `tombstone_ttl` more it reads as expired.
    `stale_after`: seconds without a heartbeat until a held job goes to another worker; heartbeat at a third of it.
    `worker` names this process among the consumers (default: host, process id and a random part).
    """

    def __init__(
        self,
        redis: Redis,
        *,
        limit: int = 1000,
        max_attempts: int = 3,
        job_ttl: float = 86400.0,
        result_ttl: float = 3600.0,
        tombstone_ttl: float = 86400.0,
        stale_after: float = 15.0,
        worker: str | None = None,
        prefix: str = "refstar",
    ) -> None:
        raise NotImplementedError

    async def setup(self) -> None:
        """Create the consumer groups. Optional: every call that finds them missing creates them."""
        raise NotImplementedError

    async def aclose(self) -> None:
        """End the shared subscription. The Redis client stays open: it belongs to the caller."""
        raise NotImplementedError

    async def submit(
        self, job_id: str, request: JobRequest, *, priority: Priority = Priority.NORMAL, owner: str = ""
    ) -> Job:
        """Queue a job; a known `job_id` is returned as it stands and not queued again. Raises QueueFull."""
        raise NotImplementedError

    async def get(self, job_id: str) -> Job | None:
        raise NotImplementedError

    async def wait(self, job_id: str, timeout: float) -> Job | None:
        """The job once it is terminal, or as it stands after `timeout` seconds; None as soon as it is gone."""
        raise NotImplementedError

    async def position(self, job_id: str) -> int | None:
        """How many jobs are to be taken before it (0 = next, or already with a worker); None unless it is queued."""
        raise NotImplementedError

    async def cancel(self, job_id: str) -> Job | None:
        """A queued job is canceled at once, a running one when its worker finishes; a terminal one stays as it is."""
        raise NotImplementedError

    async def delete(self, job_id: str) -> Job | None:
        """Forget the job, whatever it is doing, and return its last state; its blobs are the caller's to delete."""
        raise NotImplementedError

    async def reserve(self, n: int, *, block: float = 1.0) -> list[Reservation]:
        """Up to `n` jobs; none after `block` seconds (at most 2) without work. Stop by a flag between calls, not by
        cancelling one: what a cancelled call had reserved is out of reach until `stale_after`.

        A job whose earlier attempt did not end comes alone, before all others, so that it cannot take others down.
        """
        raise NotImplementedError

    async def start(self, reservations: Sequence[Reservation]) -> list[Started | None]:
        """Count an attempt for each; in order. None = nothing to do: canceled, deleted, expired, taken by another
        worker, or out of attempts (then recorded as failed with code "worker-lost").

        Start before touching a job's bytes: only counted attempts protect against a picture that kills workers.
        """
        raise NotImplementedError

    async def heartbeat(self, held: Sequence[Held]) -> list[Held]:
        """Keep all held jobs, prefetched ones too. Returns those not worth going on with: canceled, deleted, or
        another worker's by now. Hand these to `release` or `finish` like any other."""
        raise NotImplementedError

    async def finish(self, outcomes: Sequence[tuple[Started, Outcome]]) -> list[bool]:
        """Record outcomes; in order. False = not kept (canceled, deleted, or started again by another worker): then
        delete the result's blobs. Write blobs before, so that a recorded result can always be fetched."""
        raise NotImplementedError

    async def release(self, held: Sequence[Held]) -> None:
        """Give jobs back, for the next worker that looks. A started one is queued again and its attempt not counted;
        one that is being canceled is canceled."""
        raise NotImplementedError

    async def depth(self) -> dict[Priority, int]:
        """Jobs waiting and held, per priority: the number that `limit` bounds in sum."""
        raise NotImplementedError

    async def survey(self) -> dict[Priority, LineStatus]:
        """For metrics: what waits, what is held, and the longest wait."""
        raise NotImplementedError

    async def housekeeping(self, idle: float = 3600.0) -> int:
        """Forget workers that hold nothing and have not been seen for `idle` seconds; returns how many."""
        raise NotImplementedError

    async def announce_worker(self, info: WorkerInfo, ttl: float) -> None:
        """This worker is ready and counts as present for `ttl` seconds; repeat well before that."""
        raise NotImplementedError

    async def withdraw_worker(self, name: str) -> None:
        raise NotImplementedError

    async def workers(self) -> list[WorkerInfo]:
        """Workers present now, by name."""
        raise NotImplementedError
