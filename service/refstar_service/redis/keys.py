"""The Redis schema at a glance. All keys share one hash tag: in a cluster, a script may touch any of them.

    {refstar}:queue:high      stream   one entry per job that waits or is held: job -> id, uploads and results -> bytes
    {refstar}:queue:normal    stream   the same
    {refstar}:queue:<p>:bytes hash     the sums of uploads and of results over one of these
    {refstar}:claims          zset     "<bytes> <id>" of submissions whose uploads are being stored, by when they lapse
    {refstar}:job:<id>        hash     the job while it can be read; fields below
    {refstar}:gone:<id>       string   its tombstone, written with it and outliving it; fields as JSON
    {refstar}:jobs:<owner>    zset     ids of an owner's jobs, by the microsecond they were accepted
    {refstar}:notices         zset     ids of jobs that ended and whose owner is to be told, by when to try
    {refstar}:notice:<id>     hash     what is owed: url, owner, status, ended_at; the courier adds its own
    {refstar}:notices:owed    hash     owner -> how many are owed
    {refstar}:changes         channel  "<version> <status> <id>" after each change of a job
    {refstar}:workers         set      names of workers that announced themselves
    {refstar}:worker:<name>   string   one of them, as JSON, with its time to live

Job fields: status, priority, owner, request (JSON), outline (JSON; the tombstone's request), entry (stream
id), attempts, fence (of the last start, random), created_at, started_at, finished_at, expires_at, canceling,
outcome (JSON), recorded (fence of the start that the outcome is from), version, webhook (URL, if one is to be told).
The notices are written here, in one step with the end of the job, and delivered by `webhooks`.
"""

from __future__ import annotations

from dataclasses import dataclass

from refstar_service.jobs.job import Priority

GROUP = "workers"


@dataclass(frozen=True)
class Keys:
    prefix: str = "refstar"

    def line(self, priority: Priority) -> str:
        return f"{{{self.prefix}}}:queue:{priority}"

    def job(self, job_id: str) -> str:
        return f"{{{self.prefix}}}:job:{job_id}"

    def gone(self, job_id: str) -> str:
        return f"{{{self.prefix}}}:gone:{job_id}"

    def jobs_of(self, owner: str) -> str:
        return f"{{{self.prefix}}}:jobs:{owner}"

    def worker(self, name: str) -> str:
        return f"{{{self.prefix}}}:worker:{name}"

    @property
    def claims(self) -> str:
        return f"{{{self.prefix}}}:claims"

    @property
    def changes(self) -> str:
        return f"{{{self.prefix}}}:changes"

    @property
    def workers(self) -> str:
        return f"{{{self.prefix}}}:workers"
