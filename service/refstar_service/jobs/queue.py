"""The queue: jobs wait in Redis Streams, workers reserve batches of them, each gets one recorded outcome.

Those of one priority wait in one stream; from there they are taken in the turns of their owners (lua/turns.lua).

Delivery is at least once. What makes the outcome single is the fence: every start gets a new one, and only
the bearer of the latest can finish. Every change of a job is one Lua script (lua/*.lua), so nobody
sees it half made; every script may be repeated, so a client that lost the reply simply sends it again.

Errors: QueueFullError; otherwise those of redis-py (ConnectionError, TimeoutError, OutOfMemoryError) as they come.
"""

from refstar_service.jobs.client_side import ClientSide
from refstar_service.jobs.read_side import ReadSide
from refstar_service.jobs.worker_side import WorkerSide


class JobQueue(ClientSide, ReadSide, WorkerSide):
    """One instance per process, shared by all tasks of its event loop.

    `limit` caps jobs waiting and running together, `byte_limit` the bytes that are held of uploads, results and people
    (0: no cap), `owner_byte_limit` those of one owner, `memory_share` what all that, and all else, may take of Redis's
    `maxmemory` (0: no cap; for a store of blobs elsewhere `blobs_in_redis` is False). All times are seconds. `job_ttl`:
    how long a job may wait, and again run, before it is given up. `result_ttl`: how long a finished one stays readable;
    then it reads as expired for `tombstone_ttl`. `stale_after`: without a heartbeat for so long, a held job goes to
    another worker; beat at a third of it. `worker` names this process (default: host, process id, a random part).
    """
