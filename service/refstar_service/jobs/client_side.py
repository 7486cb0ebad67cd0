"""The side of the queue for those who want work done: room for it, jobs, and their end before its time."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

from refstar_service.jobs.admission import (
    CLAIM_HOLDS,
    FETCHED_STAYS,
    Claim,
    JobTooLargeError,
    Limit,
    QueueFullError,
)
from refstar_service.jobs.job import Job, JobStatus, Outcome, Priority
from refstar_service.jobs.queue_base import QueueBase
from refstar_service.jobs.record import RecordError
from refstar_service.jobs.request import Request, RestoreRequest
from refstar_service.redis.keys import GROUP
from refstar_service.redis.replies import read_fields, read_text
from refstar_service.redis.script import load_script

_CANCEL = load_script("jobs.cancel")
_CLAIM = load_script("jobs.claim")
_DELETE = load_script("jobs.delete")
_DISCLAIM = load_script("jobs.disclaim")
_FETCHED = load_script("jobs.fetched")
_SUBMIT = load_script("jobs.submit")


class ClientSide(QueueBase):
    """Mostly of gateways."""

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
        holder: str = "",
    ) -> Job:
        """Queue a job; a known `job_id` is returned as it stands and not queued again. Raises QueueFullError.

        `claim`: the room kept for it, which it takes up now. `webhook`: a URL that is to be told when the job ends; the
        notice is owed from that moment on. `limit` and `ttl`: others than those of the queue. A job of priority SPARE
        is in no list of its owner, and counts with others of its kind only; it makes no room for itself. `holder`: who
        submits it, of all who may do so with this id; for `take_back`.
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
        values += [request.model, request.schema, holder]
        reply = await self._contact.run(_SUBMIT, keys, values)
        match read_text(reply[0]):
            case "full":
                raise _full(reply[1])
            case "new":
                created_at, expires_at, version = (read_text(value) for value in reply[1:])
                moments = float(created_at), float(expires_at)
                return Job(job_id, JobStatus.QUEUED, priority, owner, request, *moments, int(version))
        return Job.from_fields(job_id, read_fields(reply))

    async def cancel(self, job_id: str) -> Job | None:
        """A queued job is canceled at once, a running one when its worker finishes, a terminal one never. One that no
        worker has leaves the queue by this (`Job.withdrawn`)."""
        values = [job_id, self.result_ttl, self.tombstone_ttl, GROUP]
        return self._last(job_id, await self._contact.run(_CANCEL, self._of(job_id), values))

    async def delete(self, job_id: str) -> Job | None:
        """Forget the job, whatever it does. Returns its last state; its blobs are the caller's to delete. One that no
        worker has leaves the queue by this (`Job.withdrawn`)."""
        return self._last(job_id, await self._contact.run(_DELETE, self._of(job_id), [job_id, GROUP]))

    async def take_back(self, job_id: str, holder: str = "") -> Job | None:
        """Forget the job if it was submitted by this `holder`. One that another submitted under the same id is left as
        it is, and returned."""
        reply = await self._contact.run(_DELETE, self._of(job_id), [job_id, GROUP, holder])
        _, fields, left = reply
        return self._job(job_id, fields) if left else None

    def _last(self, job_id: str, reply: Any) -> Job | None:
        withdrawn, fields = reply[:2]
        job = self._job(job_id, fields)
        return None if job is None else replace(job, withdrawn=bool(withdrawn))


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
