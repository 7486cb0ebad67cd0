"""The queue: jobs wait in Redis Streams, workers reserve batches of them, each gets one recorded outcome.

Those of one priority wait in one stream; from there they are taken in the turns of their owners (lua/turns.lua).

Delivery is at least once. What makes the outcome single is the fence: every start gets a new one, and only
the bearer of the latest can finish. Every change of a job is one Lua script (lua/*.lua), so nobody
sees it half made; every script may be repeated, so a client that lost the reply simply sends it again.

Errors: QueueFullError; otherwise those of redis-py (ConnectionError, TimeoutError, OutOfMemoryError) as they come.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import socket
from collections.abc import Collection, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import uuid4

from redis.asyncio import Redis

from refstar_service.jobs.admission import (
    CLAIM_HOLDS,
    FETCHED_STAYS,
    Claim,
    JobTooLargeError,
    Limit,
    QueueFullError,
)
from refstar_service.jobs.changes import Changes
from refstar_service.jobs.contact import Contact
from refstar_service.jobs.job import Job, JobFailure, JobStatus, Outcome, Priority, unreadable
from refstar_service.jobs.listing import JobPage, Place
from refstar_service.jobs.presence import Presence, WorkerInfo
from refstar_service.jobs.progress import Progress
from refstar_service.jobs.record import RecordError
from refstar_service.jobs.request import EnrollRequest, Request, RestoreRequest
from refstar_service.jobs.reservation import Attempt, Held, Reservation
from refstar_service.redis.keys import GROUP, Keys
from refstar_service.redis.replies import read_fields, read_text
from refstar_service.redis.runner import Call
from refstar_service.redis.script import load_script
from refstar_service.restoration.report import FaceAction

LONGEST_BLOCK = 2.0  # seconds
HANDED_OVER = 43_200.0  # seconds; idler is only what a worker gave back (release.lua makes it a day)
SPARE_AFTER = (
    0.5  # seconds without other work: it comes soon if there is some, and would wait for the spare job
)
NORMAL_FIRST_EVERY = 4  # of so many batches, one prefers normal jobs, so that high ones cannot starve them

_COUNTED = tuple(priority for priority in Priority if priority.counted)

_CANCEL = load_script("jobs.cancel")
_CLAIM = load_script("jobs.claim")
_DELETE = load_script("jobs.delete")
_DISCLAIM = load_script("jobs.disclaim")
_FETCHED = load_script("jobs.fetched")
_FINISH = load_script("jobs.finish")
_HEARTBEAT = load_script("jobs.heartbeat")
_HOUSEKEEPING = load_script("jobs.housekeeping")
_LIST = load_script("jobs.list")
_POSITIONS = load_script("jobs.positions")
_PROGRESS = load_script("jobs.progress")
_RELEASE = load_script("jobs.release")
_RESERVE = load_script("jobs.reserve")
_START = load_script("jobs.start")
_SUBMIT = load_script("jobs.submit")
_SURVEY = load_script("jobs.survey")


@dataclass(frozen=True)
class LineStatus:
    """One priority at a glance. `depth` = `waiting` + `held` by workers. `oldest`: longest wait, seconds."""

    depth: int
    waiting: int
    held: int
    oldest: float


class JobQueue:
    """One instance per process, shared by all tasks of its event loop.

    `limit` caps jobs waiting and running together, `byte_limit` the bytes that are held of uploads, results and people
    (0: no cap), `owner_byte_limit` those of one owner, `memory_share` what all that, and all else, may take of Redis's
    `maxmemory` (0: no cap; for a store of blobs elsewhere `blobs_in_redis` is False). All times are seconds. `job_ttl`:
    how long a job may wait, and again run, before it is given up. `result_ttl`: how long a finished one stays readable;
    then it reads as expired for `tombstone_ttl`. `stale_after`: without a heartbeat for so long, a held job goes to
    another worker; beat at a third of it. `worker` names this process (default: host, process id, a random part).
    """

    def __init__(
        self,
        redis: Redis,
        *,
        limit: int = 1000,
        byte_limit: int = 0,
        owner_byte_limit: int = 0,
        memory_share: float = 0.0,
        blobs_in_redis: bool = True,
        max_attempts: int = 3,
        job_ttl: float = 86400.0,
        result_ttl: float = 3600.0,
        tombstone_ttl: float = 86400.0,
        stale_after: float = 15.0,
        worker: str | None = None,
        prefix: str = "refstar",
    ) -> None:
        self.limit = limit
        self.byte_limit = byte_limit
        self.owner_byte_limit = owner_byte_limit
        self.memory_share = memory_share
        self.blobs_in_redis = blobs_in_redis
        self.max_attempts = max_attempts
        self.job_ttl = job_ttl
        self.result_ttl = result_ttl
        self.tombstone_ttl = tombstone_ttl
        self.stale_after = stale_after
        self.worker = worker or f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:8]}"
        self._redis = redis
        self._lifetime = 2 * job_ttl + result_ttl + tombstone_ttl  # the longest that a job is remembered
        self._keys = Keys(prefix)
        self._high, self._normal = self._keys.line(Priority.HIGH), self._keys.line(Priority.NORMAL)
        self._lines = [self._keys.line(priority) for priority in Priority]
        self._contact = Contact(redis, self._lines)
        self._changes = Changes(redis, self._keys.changes)
        self._presence = Presence(redis, self._keys)
        self._batches = 0
        self._waits_no_more = False
        # To redis-py, a read that blocks beyond the client's socket_timeout is a broken connection.
        patience = redis.connection_pool.connection_kwargs.get("socket_timeout")
        self._longest_block = min(LONGEST_BLOCK, patience / 2) if patience else LONGEST_BLOCK

    async def setup(self) -> None:
        """Create the consumer groups. Optional: every call that finds them missing does so."""
        await self._contact.create_groups()

    async def aclose(self) -> None:
        """End the shared subscription. The Redis client stays open: it belongs to the caller."""
        await self._changes.aclose()

    # For those who want work done.

    async def claim(self, job_id: str, *, owner: str = "", uploads: int, results: int) -> Claim:
        """Room for a job, before its uploads are stored: then neither they nor its results (bytes, at the most) meet a
        full store. Where room is scarce, results that were fetched longest ago expire for it; their blobs are the
        caller's to delete. Hand it to `submit` or `disclaim`; else it lapses after a minute. Raises QueueFullError,
        and JobTooLargeError for one that will never fit."""
        self._refuse_misfit(owner, uploads + results)
        limits = [
            self.limit,
            self.byte_limit,
            self.owner_byte_limit,
            self.memory_share,
            int(self.blobs_in_redis),
        ]
        values = [job_id, owner, *limits, FETCHED_STAYS, uploads, results, CLAIM_HOLDS]
        outcomes, *full = await self._contact.run(_CLAIM, [self._normal, self._high], values)
        evicted = tuple(key for outcome in outcomes for key in _result_keys(read_text(outcome)))
        if full:
            raise _full(full[0], evicted)
        return Claim(job_id, uploads, results, evicted)

    def _refuse_misfit(self, owner: str, asked: int) -> None:
        """Before anything makes room for it in vain. The limits are those of `jobs/lua/room.lua`."""
        if owner and 0 < self.owner_byte_limit < asked:
            raise JobTooLargeError(asked, self.owner_byte_limit, Limit.QUOTA)
        if self.byte_limit <= 0:
            return
        if asked > self.byte_limit:
            raise JobTooLargeError(asked, self.byte_limit, Limit.BYTES)
        if owner and 2 * asked > self.byte_limit:  # as much must be left for somebody else
            raise JobTooLargeError(asked, self.byte_limit // 2, Limit.SHARE)

    async def disclaim(self, claim: Claim) -> None:
        """The job was not queued after all."""
        await self._contact.run(_DISCLAIM, [self._keys.job(claim.job_id)], [claim.job_id])

    async def note_fetched(self, job_id: str) -> None:
        """Its result was fetched: from a minute after, it may expire before its time if room is scarce."""
        await self._contact.run(_FETCHED, [self._keys.job(job_id)], [job_id])

    async def submit(
        self,
        job_id: str,
        request: Request,
        *,
        priority: Priority = Priority.NORMAL,
        owner: str = "",
        webhook: str = "",
        claim: Claim | None = None,
        limit: int | None = None,
        ttl: float | None = None,
    ) -> Job:
        """Queue a job; a known `job_id` is returned as it stands and not queued again. Raises QueueFullError.

        `claim`: the room kept for it, which it takes up now. `webhook`: a URL that is to be told when the job ends; the
        notice is owed from that moment on. `limit` and `ttl`: others than those of the queue. A job of priority SPARE
        is in no list of its owner, and counts with others of its kind only; it makes no room for itself.
        """
        line = self._keys.line(priority)
        other = {self._high: self._normal, self._normal: self._high}.get(line, line)
        keys = [*self._of(job_id), line, other]
        if isinstance(request, RestoreRequest) and priority.counted:
            keys.append(self._keys.jobs_of(owner))
        limits = [self.limit if limit is None else limit, ttl or self.job_ttl, self.tombstone_ttl]
        documents = [request.to_json(), request.outline().to_json()]
        values = [job_id, *limits, priority, owner, *documents, self._lifetime, webhook]
        room = claim or Claim(job_id, request.bytes, 0)
        bounds = [self.byte_limit, self.owner_byte_limit] if priority.counted else [0, 0]
        values += [*bounds, room.uploads, room.results]
        values += [request.model, request.schema]
        reply = await self._contact.run(_SUBMIT, keys, values)
        match read_text(reply[0]):
            case "full":
                raise _full(reply[1])
            case "new":
                created_at, expires_at, version = (read_text(value) for value in reply[1:])
                moments = float(created_at), float(expires_at)
                return Job(job_id, JobStatus.QUEUED, priority, owner, request, *moments, int(version))
        return Job.from_fields(job_id, read_fields(reply))

    async def get(self, job_id: str) -> Job | None:
        if found := await self._redis.hgetall(self._keys.job(job_id)):
            return self._job(job_id, found)
        # Its tombstone is there before it expires, so both are asked for together: one may be submitted just now.
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.hgetall(self._keys.job(job_id))
            pipe.get(self._keys.gone(job_id))
            job, gone = await pipe.execute()
        return self._job(job_id, job or _read_tombstone(gone))

    async def jobs_of(
        self, owner: str, *, limit: int, status: JobStatus | None = None, after: Place | None = None
    ) -> JobPage:
        """The owner's jobs that are remembered, expired ones too, newest first; enrollments are not listed."""
        score, job_id = (after.moment, after.id) if after else ("+inf", "")
        values = [score, job_id, limit, status or ""]
        found, rest = await self._contact.run(_LIST, [self._keys.jobs_of(owner)], values)
        jobs = tuple(Job.from_fields(read_text(one), read_fields(row)) for one, row in found)
        return JobPage(jobs, Place(read_text(rest[0]), read_text(rest[1])) if rest else None)

    async def wait(self, job_id: str, timeout: float) -> Job | None:  # noqa: ASYNC109
        """The job once it is terminal, or as it stands after `timeout` seconds; None once it is gone."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + timeout
        async with self.watch(job_id, end_only=True) as ended:
            while True:
                ended.clear()
                job = await self.get(job_id)
                if job is None or job.status.terminal or clock() >= deadline:
                    return job
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(deadline):
                        await ended.wait()

    def watch(self, job_id: str, *, end_only: bool = False) -> AbstractAsyncContextManager[asyncio.Event]:
        """An event that is set when the job may have changed (`end_only`: may have ended, or be gone): clear it, read
        the job, then wait for it again. All watchers of this queue share one connection."""
        return self._changes.watch(job_id, end_only=end_only)

    async def position(self, job_id: str) -> int | None:
        """How many jobs come before it by the turns of their owners, if they all are as much work (0: next, or with a
        worker already); None unless it is queued."""
        return (await self.positions([job_id]))[0]

    async def positions(self, job_ids: Sequence[str]) -> tuple[int | None, ...]:
        """The same for several jobs at hardly more than the cost of one."""
        keys = [self._high, self._normal, *(self._keys.job(job_id) for job_id in job_ids)]
        ahead = await self._contact.run(_POSITIONS, keys, [GROUP]) if job_ids else []
        return tuple(None if count < 0 else int(count) for count in ahead)

    async def cancel(self, job_id: str) -> Job | None:
        """A queued job is canceled at once, a running one when its worker finishes, a terminal one never."""
        values = [job_id, self.result_ttl, self.tombstone_ttl]
        return self._job(job_id, await self._contact.run(_CANCEL, self._of(job_id), values))

    async def delete(self, job_id: str) -> Job | None:
        """Forget the job, whatever it does. Returns its last state; its blobs are the caller's to delete."""
        return self._job(job_id, await self._contact.run(_DELETE, self._of(job_id), [job_id]))

    # For those who do it.

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

    async def finish(self, outcomes: Sequence[tuple[Attempt, Outcome]]) -> list[bool]:
        """Record outcomes; in order. False = not kept (canceled, deleted, or started again by another): then
        delete the result's blobs. Write them before, so that a recorded result can always be fetched."""
        ttls = [self.result_ttl, self.tombstone_ttl]
        calls = [
            self._call(
                held,
                outcome.status,
                outcome.to_json(),
                *ttls,
                _kept_bytes(held.request, outcome),
                sum(face.action is FaceAction.RESTORED for face in outcome.faces),
            )
            for held, outcome in outcomes
        ]
        return [bool(reply) for reply in await self._contact.run_all(_FINISH, calls)]

    async def release(self, held: Sequence[Held], *, model: str = "") -> None:
        """Give jobs back to whoever looks next. A started one is queued again and its attempt not counted;
        one that is being canceled is canceled. `model`: started ones are then for workers that have this one."""
        ttls = [self.job_ttl, self.result_ttl, self.tombstone_ttl]
        await self._contact.run_all(
            _RELEASE, [self._call(one, *ttls, *filter(None, [model])) for one in held]
        )

    # For those who watch.

    async def depth(self) -> dict[Priority, int]:
        """Jobs waiting and held, per priority: the number that `limit` bounds in sum."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for priority in _COUNTED:
                pipe.xlen(self._keys.line(priority))
            return dict(zip(_COUNTED, await pipe.execute(), strict=True))

    async def survey(self) -> dict[Priority, LineStatus]:
        """For metrics: what waits, what is held, and the longest wait."""
        lines = [self._keys.line(priority) for priority in _COUNTED]
        *rows, time = await self._contact.run(_SURVEY, lines, [GROUP])
        return {
            priority: LineStatus(
                depth=depth,
                waiting=depth - held,
                held=held,
                oldest=max(0.0, float(read_text(time)) - int(read_text(first).split("-")[0]) / 1000)
                if first
                else 0.0,
            )
            for priority, (depth, held, first) in zip(_COUNTED, rows, strict=True)
        }

    async def housekeeping(self, idle: float = 3600.0) -> int:
        """Forget consumers that hold nothing and have not been seen for `idle` seconds; returns how many."""
        values = [GROUP, round(idle * 1000)]
        return int(await self._contact.run(_HOUSEKEEPING, self._lines, values))

    async def announce_worker(self, info: WorkerInfo, ttl: float) -> None:
        """This worker is ready, and counts as present for `ttl` seconds; repeat well before that."""
        await self._presence.announce(info, ttl)

    async def withdraw_worker(self, name: str) -> None:
        await self._presence.withdraw(name)

    async def workers(self) -> list[WorkerInfo]:
        """Workers present now, by name."""
        return await self._presence.present()

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

    def _of(self, job_id: str) -> list[str]:
        return [self._keys.job(job_id), self._keys.gone(job_id)]

    def _call(self, held: Held, *more: Any) -> Call:
        """What all scripts about a held job begin with."""
        reservation, fence = (held.reservation, held.fence) if isinstance(held, Attempt) else (held, "")
        keys = [*self._of(held.job_id), self._keys.line(reservation.priority)]
        return keys, [held.job_id, GROUP, reservation.entry, self.worker, fence, *more]

    def _job(self, job_id: str, reply: Any) -> Job | None:
        return Job.from_fields(job_id, read_fields(reply)) if reply else None


def _read_tombstone(document: Any) -> dict[str, str]:
    """One that cannot be read is as good as none."""
    try:
        left = json.loads(document or "{}")
    except ValueError:
        return {}
    return {name: str(value) for name, value in left.items()} if isinstance(left, dict) else {}


def _kept_bytes(request: Request, outcome: Outcome) -> int | str:
    """Of its results. What is kept of a person is held with the person, who has the id of the job that made them."""
    if outcome.result is None or (isinstance(request, EnrollRequest) and request.person):
        return 0
    return outcome.result.bytes if isinstance(request, RestoreRequest) else "as_it_is"


def _result_keys(outcome: str) -> list[str]:
    """The blobs of a recorded outcome; none if it cannot be read, so that they stay until they expire."""
    with suppress(RecordError):
        result = Outcome.from_json(outcome).result
        return [file.key for file in result.files] if result is not None else []
    return []


def _full(reply: list[Any], evicted: tuple[str, ...] = ()) -> QueueFullError:
    what, depth, limit, own, seconds = reply
    return QueueFullError(
        int(depth), int(limit), Limit(read_text(what)), own=int(own), seconds=int(seconds), evicted=evicted
    )
