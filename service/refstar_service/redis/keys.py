"""The Redis schema at a glance, by the room that owns each key; no other room reads or writes it, in Python or in Lua.

All keys but blobs share a hash tag, so that in a cluster a script may touch any of them; blobs spread over its shards.

jobs
    {refstar}:queue:<priority>          stream   jobs that wait or are held: job, uploads, results, number, model
    {refstar}:queue:<priority>:turns    zset     owners of jobs that wait there -> their time, the least is next
    {refstar}:queue:<priority>:of:<owner>  zset  "<entry> <model>" of their jobs that wait -> number of the entry
    {refstar}:queue:<priority>:spent    zset     owners of none that waits -> their time, if it is ahead of the clock
    {refstar}:queue:<priority>:state    hash     clock: the time of who was next last; sorted: last entry that was put
                                                 into its owner's line
    {refstar}:idle:<model>              zset     workers that wait for jobs of this model -> until when; expires
    {refstar}:idle                      zset     the same of those that take every job
    {refstar}:call:<worker>             list     an element wakes this one, which waits; expires
    {refstar}:job:<id>                  hash     the job while it can be read; fields below
    {refstar}:gone:<id>                 string   its tombstone, written with it and outliving it; fields as JSON
    {refstar}:jobs:<owner>              zset     ids of an owner's jobs -> microsecond of acceptance
    {refstar}:changes                   channel  "<version> <status> <id>" after each change of a job
    {refstar}:workers                   set      names of workers that announced themselves
    {refstar}:worker:<name>             string   one of them, as JSON; expires when it no longer does so
webhooks
    {refstar}:notices                   zset     ids of jobs that ended and whose owner is to be told -> next attempt
    {refstar}:notices:owed              hash     owner -> how many are owed
    {refstar}:notice:<id>               hash     url, owner, status, ended_at; body (JSON), attempts, lease
    {refstar}:webhook-off:<digest>      string   this owner's endpoint answered 410; expires
people
    {refstar}:person:<id>               hash     schema, owner, name, request_id, status, created_at, expires_at,
                                                 references (JSON), failure (JSON), encoder:<sha256> for each with
                                                 stored features; of one who was changed: numbered (references so
                                                 far), kept (numbers of those that are left), and while references are
                                                 added change (id of the job) and changed_at
    {refstar}:people:<owner>            zset     ids of an owner's people -> microsecond of creation
access
    {refstar}:keys                      hash     name -> API key as JSON
    {refstar}:key-tokens                hash     id of a token -> name of its API key
    {refstar}:usage:<name>:<policy>     string   units that were taken in the running window; expires with it
    {refstar}:unfinished:<name>         zset     ids of jobs that wait or run, as far as is known -> latest end
    {refstar}:repeat:<owner>:<digest>   hash     fingerprint, id, holder, until, done; of a client's idempotency key
blobs
    {refstar}:stored                    hash     id of a job or person -> "<bytes> <those yet to be written> <owner>
                                                 <kind>", a kind being uploads, results or people
    {refstar}:stored:ends               zset     the same ids -> when they are held no more, at the latest
    {refstar}:stored:fetched            zset     ids of jobs whose result was fetched -> when first
    {refstar}:stored:owners             hash     owner -> bytes that are held
    {refstar}:stored:totals             hash     bytes: the sum over all; promised: of those yet to be written;
                                                 uploads, results, people: of those that are written
    refstar:blob:<key>                  string   the bytes; expires

Fields of a job: schema (below), status, priority, owner, request (JSON), outline (JSON; the tombstone's request),
entry (stream id), attempts, fence (of the last start, random), created_at, started_at, finished_at, expires_at,
canceling, outcome (JSON), recorded (fence of the start that its end is from), version, webhook (URL, if one is to be
told), progress (fence of the start that it is of, stage, faces done, faces), holder (which of the requests with one
idempotency key submitted it). Of a tombstone also overdue (1 if it expired before it ended, and that was recorded).
What a record does not have reads as its default, and what this version does not know is left as it is: jobs/record.py.
All moments are unix seconds by the clock of Redis where nothing else is said.
"""

from __future__ import annotations

from dataclasses import dataclass

#: What this version reads. An older reader refuses a record with a higher one; another field is no reason to raise it.
SCHEMA_VERSION = 2

#: What is written: all but jobs that an older reader would not do as they are meant: those whose result is to be put
#: somewhere, those that name several people, and those that change one.
PLAIN_SCHEMA, LATER_SCHEMA = 1, 2

#: The consumer group of the streams.
GROUP = "workers"


@dataclass(frozen=True)
class Keys:
    """`prefix` keeps several services in one Redis apart."""

    prefix: str = "refstar"

    # jobs

    def line(self, priority: str) -> str:
        return self._tagged(f"queue:{priority}")

    def call(self, worker: str) -> str:
        return self._tagged(f"call:{worker}")

    def job(self, job_id: str) -> str:
        return self._tagged(f"job:{job_id}")

    def gone(self, job_id: str) -> str:
        return self._tagged(f"gone:{job_id}")

    def jobs_of(self, owner: str) -> str:
        return self._tagged(f"jobs:{owner}")

    @property
    def changes(self) -> str:
        return self._tagged("changes")

    @property
    def workers(self) -> str:
        return self._tagged("workers")

    def worker(self, name: str) -> str:
        return self._tagged(f"worker:{name}")

    # webhooks

    @property
    def notices(self) -> str:
        return self._tagged("notices")

    @property
    def notices_owed(self) -> str:
        return self._tagged("notices:owed")

    def notice(self, job_id: str) -> str:
        return self._tagged(f"notice:{job_id}")

    def webhook_off(self, digest: str) -> str:
        return self._tagged(f"webhook-off:{digest}")

    # people

    def person(self, person_id: str) -> str:
        return self._tagged(f"person:{person_id}")

    def people_of(self, owner: str) -> str:
        return self._tagged(f"people:{owner}")

    # access

    @property
    def api_keys(self) -> str:
        return self._tagged("keys")

    @property
    def api_key_tokens(self) -> str:
        return self._tagged("key-tokens")

    def usage(self, name: str, policy: str) -> str:
        return self._tagged(f"usage:{name}:{policy}")

    def unfinished(self, name: str) -> str:
        return self._tagged(f"unfinished:{name}")

    def repeat(self, owner: str, digest: str) -> str:
        return self._tagged(f"repeat:{owner}:{digest}")

    # blobs

    @property
    def stored_totals(self) -> str:
        return self._tagged("stored:totals")

    def blob(self, key: str) -> str:
        return f"{self.prefix}:blob:{key}"

    def _tagged(self, name: str) -> str:
        return f"{{{self.prefix}}}:{name}"
