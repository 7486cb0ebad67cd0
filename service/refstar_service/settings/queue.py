"""Settings of the queue: how much it takes, how long it keeps what, and when a job is tried again."""

from typing import Self

from pydantic import Field, model_validator

from refstar_service.settings.group import MIB, SettingsGroup


class QueueSettings(SettingsGroup):
    """What is accepted, kept and repeated."""

    # ---- the queue

    queue_limit: int = Field(1000, ge=1)
    """Maximum number of jobs that are queued or running; further ones receive 429. A longer queue refuses fewer
    requests, but clients wait longer."""

    storage_bytes: int | None = Field(None, ge=MIB)
    """Maximum number of bytes that all pictures may take: uploads, results (before they exist, what they may take at
    the most) and stored people. When it is reached, results that were downloaded longest ago, but at least a minute
    ago, expire before their time; without any, new jobs receive 429 (`storage-full`). An API key may hold as much as is
    left beside what it holds: alone half of it, two keys a third each. Default: 16 GiB with `blobs=directory`, 64 GiB
    with `s3`, 4 GiB with `redis`, where `redis_memory_share` is the limit that counts."""

    storage_bytes_per_key: int = Field(0, ge=0)
    """Maximum number of bytes that the pictures of one API key may take; 0 means no limit but its share of
    `storage_bytes`."""

    redis_memory_share: float = Field(0.8, gt=0, le=0.95)
    """Share of the `maxmemory` of Redis that may be in use or reserved for the results of accepted jobs; beyond it,
    new jobs receive 429. The rest is for responses in transit, up to `max_request_bytes` each. A Redis without
    `maxmemory` has no such limit."""

    job_ttl: int = Field(86_400, ge=60)
    """Seconds that an unfinished job and its uploads are kept: a job may wait for so long, and then run for so long.
    One that no worker has ended by then expires. Must be longer than the longest wait in the queue."""

    result_ttl: int = Field(3600, ge=1)
    """Seconds that a finished job and its result are kept. Longer is kinder to slow clients, but keeps people's
    faces longer. The store deletes a result some minutes later; until then nobody is given it."""

    expired_ttl: int = Field(86_400, ge=1)
    """Seconds for which an expired job is still remembered (410 instead of 404, and in lists). Each takes about 1 KB
    of Redis: 86 MB at one job per second."""

    max_attempts: int = Field(3, ge=1)
    """How many times a job is started before it fails as `worker-lost`. More attempts survive more crashes, but let
    a harmful picture crash more workers."""

    stale_after: float = Field(15.0, gt=0)
    """Seconds without a heartbeat after which another worker takes over a job. Shorter recovers faster, but if it is
    shorter than a pause of the machine, jobs run twice (only one result is recorded)."""

    @model_validator(mode="after")
    def _check_job_ttl(self) -> Self:
        if self.job_ttl < self.stale_after * self.max_attempts:
            raise ValueError(
                f"job_ttl ({self.job_ttl} s) must be at least stale_after x max_attempts "
                f"({self.stale_after * self.max_attempts:g} s); otherwise jobs would expire during recovery"
            )
        return self
