"""The claim: whatever happens to workers, every job ends, and no job has two outcomes."""

import asyncio
import random
import signal
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import replace

from redis.asyncio import Redis
from refstar_service.jobs import JobRequest, JobStatus, Outcome, Priority

WORKER = """
import asyncio, os, signal, sys
from redis.asyncio import Redis
from refstar_service.jobs import JobQueue, Outcome

async def main():
    redis = Redis.from_url(sys.argv[1])
    queue = JobQueue(redis, stale_after=0.3)
    outcome = Outcome.from_json(sys.argv[2])
    leaving = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, leaving.set)
    while not leaving.is_set():
        held = await queue.reserve(4, block=0.2)
        begun = [one for one in await queue.start(held) if one]
        if any(one.request.model == "poison" for one in begun):
            os._exit(9)
        await asyncio.sleep(0.01)
        await queue.heartbeat(begun)
        if leaving.is_set():
            await queue.release(begun)
            break
        kept = await queue.finish([(one, outcome) for one in begun])
        for one, recorded in zip(begun, kept):
            if recorded:
                await redis.incr(f"recorded:{one.job_id}")
    await redis.aclose()

asyncio.run(main())
"""
JOBS = 240
POISON = "job-40"
# How many jobs are left when a worker gets which signal.
BLOWS = {180: signal.SIGKILL, 120: signal.SIGTERM, 60: signal.SIGKILL}


async def test_every_job_ends_and_none_twice(
    new_queue, redis: Redis, redis_server: str, request_for_jobs: JobRequest, success: Outcome
) -> None:
    queue = new_queue()
    chance = random.Random(1)
    names = [f"job-{i}" for i in range(JOBS)]
    to_cancel = {name for name in chance.sample(names, 20) if name != POISON}
    for name in names:
        request = replace(request_for_jobs, model="poison") if name == POISON else request_for_jobs
        await queue.submit(name, request, priority=chance.choice(list(Priority)))

    async def spawn() -> asyncio.subprocess.Process:
        arguments = (sys.executable, "-c", WORKER, redis_server, success.to_json())
        return await asyncio.create_subprocess_exec(*arguments)

    workers = [await spawn() for _ in range(2)]
    blows = dict(BLOWS)
    deadline = time.monotonic() + 60
    try:
        while (left := sum((await queue.depth()).values())) and time.monotonic() < deadline:
            for due in [due for due in blows if left <= due]:
                with suppress(ProcessLookupError):
                    chance.choice(workers).send_signal(blows.pop(due))
            if left < 150 and to_cancel:
                await asyncio.gather(*(queue.cancel(name) for name in to_cancel))
                canceled, to_cancel = to_cancel, set()
            workers = [worker if worker.returncode is None else await spawn() for worker in workers]
            await asyncio.sleep(0.02)
    finally:
        for worker in workers:
            with suppress(ProcessLookupError):
                worker.terminate()
        await asyncio.gather(*(worker.wait() for worker in workers))

    assert not blows
    assert sum((await queue.depth()).values()) == 0
    for line in ("high", "normal"):
        assert (await redis.xpending(f"{{refstar}}:queue:{line}", "workers"))["pending"] == 0
    jobs = {name: await queue.get(name) for name in names}
    recorded = {name: int(await redis.get(f"recorded:{name}") or 0) for name in names}
    poison = jobs.pop(POISON)
    assert (poison.status, poison.attempts, poison.failure.code) == (JobStatus.FAILED, 3, "worker-lost")
    assert recorded[POISON] == 0
    for name, job in jobs.items():
        assert job.status is JobStatus.SUCCEEDED or (job.status is JobStatus.CANCELED and name in canceled)
        # At most: a worker may be killed after the outcome was recorded and before it counts it here.
        assert recorded[name] <= (job.status is JobStatus.SUCCEEDED)
    succeeded = Counter(job.status for job in jobs.values())[JobStatus.SUCCEEDED]
    assert succeeded - 8 <= sum(recorded.values()) <= succeeded
