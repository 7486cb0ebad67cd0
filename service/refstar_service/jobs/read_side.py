"""The side of the queue for those who look: how a job stands, whose jobs there are, how much waits, who is at work."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from typing import Any

from refstar_service.jobs.job import Job, JobStatus, Priority
from refstar_service.jobs.listing import JobPage, Place
from refstar_service.jobs.presence import WorkerInfo
from refstar_service.jobs.queue_base import COUNTED, QueueBase
from refstar_service.redis.keys import GROUP
from refstar_service.redis.replies import read_fields, read_text
from refstar_service.redis.script import load_script

_LIST = load_script("jobs.list")
_POSITIONS = load_script("jobs.positions")
_SURVEY = load_script("jobs.survey")


@dataclass(frozen=True)
class LineStatus:
    """One priority at a glance. `depth` = `waiting` + `held` by workers. `oldest`: longest wait, seconds."""

    depth: int
    waiting: int
    held: int
    oldest: float


class ReadSide(QueueBase):
    """Changes nothing."""

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

    async def depth(self) -> dict[Priority, int]:
        """Jobs waiting and held, per priority: the number that `limit` bounds in sum."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for priority in COUNTED:
                pipe.xlen(self._keys.line(priority))
            return dict(zip(COUNTED, await pipe.execute(), strict=True))

    async def survey(self) -> dict[Priority, LineStatus]:
        """For metrics: what waits, what is held, and the longest wait."""
        lines = [self._keys.line(priority) for priority in COUNTED]
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
            for priority, (depth, held, first) in zip(COUNTED, rows, strict=True)
        }

    async def workers(self) -> list[WorkerInfo]:
        """Workers present now, by name."""
        return await self._presence.present()


def _read_tombstone(document: Any) -> dict[str, str]:
    """One that cannot be read is as good as none."""
    try:
        left = json.loads(document or "{}")
    except ValueError:
        return {}
    return {name: str(value) for name, value in left.items()} if isinstance(left, dict) else {}
