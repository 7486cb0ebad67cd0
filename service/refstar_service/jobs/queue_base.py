"""What all sides of the queue share: its Redis, its keys, its limits and its times."""

from __future__ import annotations

import os
import socket
from typing import Any
from uuid import uuid4

from redis.asyncio import Redis

from refstar_service.jobs.changes import Changes
from refstar_service.jobs.contact import Contact
from refstar_service.jobs.job import Job, Priority
from refstar_service.jobs.presence import Presence
from refstar_service.redis.keys import Keys
from refstar_service.redis.replies import read_fields

COUNTED = tuple(priority for priority in Priority if priority.counted)


class QueueBase:
    """For the meaning of the arguments see `JobQueue`."""

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

    async def setup(self) -> None:
        """Create the consumer groups. Optional: every call that finds them missing does so."""
        await self._contact.create_groups()

    async def aclose(self) -> None:
        """End the shared subscription. The Redis client stays open: it belongs to the caller."""
        await self._changes.aclose()

    def _of(self, job_id: str) -> list[str]:
        return [self._keys.job(job_id), self._keys.gone(job_id)]

    def _job(self, job_id: str, reply: Any) -> Job | None:
        return Job.from_fields(job_id, read_fields(reply)) if reply else None
