"""The side of the queue for those who do the work: jobs reserved, started, kept, and ended in exactly one way each."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property, partial
from typing import Any

from refstar_service.jobs.job import JobFailure, JobStatus, Outcome, Priority, unreadable
from refstar_service.jobs.presence import WorkerInfo
from refstar_service.jobs.progress import Progress
from refstar_service.jobs.queue_base import QueueBase
from refstar_service.jobs.record import RecordError
from refstar_service.jobs.request import EnrollRequest, Request, RestoreRequest
from refstar_service.jobs.reservation import Attempt, Held, Reservation
from refstar_service.redis.keys import GROUP
from refstar_service.redis.replies import read_text
from refstar_service.redis.runner import Call
from refstar_service.redis.script import load_script

HANDED_OVER = 43_200.0  # seconds; idler is only what a worker gave back (release.lua makes it a day)
SPARE_AFTER = 0.5  # seconds without other work: it may come soon, and would then wait for the spare job
LONGEST_BLOCK = 2.0  # seconds
NORMAL_FIRST_EVERY = 4  # of so many batches, one prefers normal jobs, so that high ones cannot starve them

_FINISH = load_script("jobs.finish")
_HEARTBEAT = load_script("jobs.heartbeat")
_HOUSEKEEPING = load_script("jobs.housekeeping")
_PROGRESS = load_script("jobs.progress")
_RELEASE = load_script("jobs.release")
_RESERVE = load_script("jobs.reserve")
_START = load_script("jobs.start")


class WorkerSide(QueueBase):
    """Of one worker, by the queue's name for it."""

    _batches = 0
    _waits_no_more = False

    @cached_property
    def _longest_block(self) -> float:
        """Seconds. To redis-py, a read that blocks beyond the client's socket_timeout is a broken connection."""
        patience = self._redis.connection_pool.connection_kwargs.get("socket_timeout")
        return min(LONGEST_BLOCK, patience / 2) if patience else LONGEST_BLOCK

    async def reserve(
        self,
        n: int,
        *,
        block: float = 1.0,
        models: Collection[str] | None = None,
        others: Collection[str] | None = None,
        spare: bool = False,
    ) -> list[Reservation]:
        """Up to `n` jobs; none after `block` seconds (at most 2) without work. Stop by a flag between calls,
        not by cancelling one: what a cancelled call has reserved is out of reach until `stale_after`.

        Owners take turns, whoever queued how much and however long ago (turns.lua). A job whose earlier attempt did not
        end comes alone, before all others: it cannot take any with it.

        `models`: those that this worker has (None: it takes any job). A job for another one is left to others: for one
        of the models `others` that they have, or, if that is None, for any. What nobody has comes to whoever asks.

        `spare`: this worker is idle. If nothing else comes for half a second, it takes one job of priority SPARE.
        """
        if n < 1:
            raise ValueError(f"cannot reserve {n} jobs")
        clock = asyncio.get_running_loop().time
        deadline = clock() + min(block, self._longest_block)
        spare_from = min(deadline, clock() + SPARE_AFTER) if spare else math.inf
        while True:
            wait = 0.0 if self._waits_no_more else max(0.0, deadline - clock())
            taken = await self._take(n, models, others, wait)
            if taken:
                return taken
            if clock() >= spare_from:
                if taken := await self._take_from([Priority.SPARE], 1, models, others, wait):
                    return taken
                spare_from = math.inf
            if not wait:
                return []
            # A new job calls one of those who wait (idle.lua). This takes none: nothing is lost if this read is.
            # While it blocks, its connection is out of the pool and nobody else's.
            call = self._keys.call(self.worker)
            seconds = max(0.001, min(deadline, spare_from) - clock())
            await self._contact.run_mended(partial(self._redis.blpop, [call], timeout=seconds))
            if self._waits_no_more:
                await self._take(0, models, others, 0.0)
                return []

    async def stop_waiting(self) -> None:
        """From now on, `reserve` takes what is there and waits for nothing; one that waits now ends."""
        self._waits_no_more = True
        await self._redis.rpush(self._keys.call(self.worker), "1")

    async def start(self, reservations: Sequence[Reservation]) -> list[Attempt | None]:
        """Count an attempt for each; in order. None = nothing to do: canceled, deleted, expired, another
        worker's by now, out of attempts (then it is recorded as failed with code "worker-lost"), or its record cannot
        be read (then it is recorded as failed with code "record-unreadable"). One of priority SPARE has one attempt.

        Start before touching a job's bytes: only counted attempts protect from a picture that kills workers.
        """
        lost = JobFailure("worker-lost", f"the worker stopped in each of {self.max_attempts} attempts")
        outcome = Outcome(JobStatus.FAILED, result=None, failure=lost, faces=(), timings={}).to_json()
        ttls = [self.job_ttl, self.result_ttl, self.tombstone_ttl]
        calls = [
            self._call(one, one.fence, self.max_attempts if one.priority.counted else 1, *ttls, outcome)
            for one in reservations
        ]
        replies = await self._contact.run_all(_START, calls)
        begun: list[Attempt | None] = []
        failed: list[tuple[Attempt, Outcome]] = []
        for held, reply in zip(reservations, replies, strict=True):
            try:
                begun.append(None if reply is None else Attempt.of(held, reply))
            except RecordError as error:
                begun.append(None)
                failed.append(
                    (Attempt.standing_in(held, reply), Outcome.failed(unreadable(error), timings={}))
                )
        await self.finish(failed)
        return begun

    async def heartbeat(self, held: Sequence[Held]) -> list[Held]:
        """Keep these, prefetched ones too. Returns those not worth going on with: canceled, deleted, or
        another worker's by now. They too end in `release` or `finish`."""
        replies = await self._contact.run_all(_HEARTBEAT, [self._call(one) for one in held])
        return [one for one, kept in zip(held, replies, strict=True) if not kept]

    async def report(self, progresses: Sequence[tuple[Attempt, Progress]]) -> None:
        """How far these are, for those who watch them; of those that nobody is at any more, nothing is kept."""
        if progresses:
            keys = [self._keys.job(held.job_id) for held, _ in progresses]
            values = [(held.job_id, held.fence, progress.to_text()) for held, progress in progresses]
            await self._contact.run(_PROGRESS, keys, [part for value in values for part in value])

    async def finish(
        self, outcomes: Sequence[tuple[Attempt, Outcome]], *, faces: Mapping[str, int] | None = None
    ) -> list[bool]:
        """Record outcomes; in order. False = not kept (canceled, deleted, or started again by another): then
        delete the result's blobs. Write them before, so that a recorded result can always be fetched.

        `faces`: how many of a job went through the model, by its id, if its outcome does not tell of them all: so many
        are counted for its owner's turns, whatever came of them.
        """
        ttls = [self.result_ttl, self.tombstone_ttl]
        calls = [
            self._call(
                held,
                outcome.status,
                outcome.to_json(),
                *ttls,
                _kept_bytes(held.request, outcome),
                (faces or {}).get(held.job_id, sum(face.computed for face in outcome.faces)),
                held.owner,
            )
            for held, outcome in outcomes
        ]
        return [bool(reply) for reply in await self._contact.run_all(_FINISH, calls)]

    async def release(
        self, held: Sequence[Held], *, model: str = "", faces: Mapping[str, int] | None = None
    ) -> list[bool]:
        """Give jobs back to whoever looks next. A started one is queued again and its attempt not counted;
        one that is being canceled is canceled. In order, whether a job has ended, by this or by its deletion: then
        nobody looks for it, and what is left of it is the caller's to clear up.

        `model`: started ones are then for workers that have this one. `faces`: as in `finish`, for those that end.
        """
        ttls = [self.job_ttl, self.result_ttl, self.tombstone_ttl]
        calls = [
            self._call(
                one,
                *ttls,
                (faces or {}).get(one.job_id, 0),
                one.owner if isinstance(one, Attempt) else "",
                *filter(None, [model]),
            )
            for one in held
        ]
        return [bool(reply) for reply in await self._contact.run_all(_RELEASE, calls)]

    async def housekeeping(self, idle: float = 3600.0) -> int:
        """Forget consumers that hold nothing and have not been seen for `idle` seconds; returns how many."""
        values = [GROUP, round(idle * 1000)]
        return int(await self._contact.run(_HOUSEKEEPING, self._lines, values))

    async def announce_worker(self, info: WorkerInfo, ttl: float) -> None:
        """This worker is ready, and counts as present for `ttl` seconds; repeat well before that."""
        await self._presence.announce(info, ttl)

    async def withdraw_worker(self, name: str) -> None:
        await self._presence.withdraw(name)

    async def _take(
        self, n: int, models: Collection[str] | None, others: Collection[str] | None, wait: float
    ) -> list[Reservation]:
        order = [Priority.HIGH, Priority.NORMAL]
        if self._batches % NORMAL_FIRST_EVERY == NORMAL_FIRST_EVERY - 1:
            order.reverse()
        taken = await self._take_from(order, n, models, others, wait)
        if taken:
            self._batches += 1
        return taken

    async def _take_from(
        self,
        order: Sequence[Priority],
        n: int,
        models: Collection[str] | None,
        others: Collection[str] | None,
        wait: float = 0.0,
    ) -> list[Reservation]:
        lines = [self._keys.line(priority) for priority in order]
        # While Redis was away nobody's heartbeats arrived: what looks stale now is given the time to prove otherwise.
        afresh = self._contact.age < self.stale_after
        stale = max(self.stale_after, HANDED_OVER) if afresh else self.stale_after
        values = [GROUP, self.worker, n, round(stale * 1000)]
        values += ["" if names is None else json.dumps(sorted(names)) for names in (models, others)]
        values.append(wait)
        taken = await self._contact.run(_RESERVE, lines, values)
        return [
            Reservation(
                read_text(job_id), order[index - 1], read_text(entry), attempts > 0, model=read_text(model)
            )
            for index, entry, job_id, attempts, model in taken
        ]

    def _call(self, held: Held, *more: Any) -> Call:
        """What all scripts about a held job begin with."""
        reservation, fence = (held.reservation, held.fence) if isinstance(held, Attempt) else (held, "")
        keys = [*self._of(held.job_id), self._keys.line(reservation.priority)]
        return keys, [held.job_id, GROUP, reservation.entry, self.worker, fence, *more]


def _kept_bytes(request: Request, outcome: Outcome) -> int | str:
    """Of its results. What is kept of a person is held with the person, who has the id of the job that made them."""
    if outcome.result is None or (isinstance(request, EnrollRequest) and request.person):
        return 0
    return outcome.result.bytes if isinstance(request, RestoreRequest) else "as_it_is"
