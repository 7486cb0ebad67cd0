"""`Prefer: wait=n` (RFC 7240): hold an answer until the job ends, the time is over or nobody listens."""

import asyncio
import re
from collections.abc import Sequence

from fastapi import Request
from starlette.requests import ClientDisconnect

from refstar_service.gateway.http.context import Gateway
from refstar_service.jobs import Job

_WAIT = re.compile(r'wait\s*=\s*"?(\d{1,9})"?', re.IGNORECASE)


def requested_wait(prefer: Sequence[str], cap: int) -> int | None:
    """Seconds asked for by the Prefer headers, at most `cap`; None if none asks. A bad one is no error."""
    for header in prefer:
        for preference in re.split(r"[,;]", header):
            if match := _WAIT.fullmatch(preference.strip()):
                return min(int(match[1]), cap)
    return None


async def wait_for(gateway: Gateway, request: Request, job_id: str, seconds: float) -> Job | None:
    """The job when it is terminal, or as it stands after `seconds` or at a stop; None if it is gone.

    Raises ClientDisconnect if the client goes away. The request's body must have been read.
    """
    async with gateway.queue.watch(job_id, end_only=True) as ended:
        job = await gateway.queue.get(job_id)
        return job and await until_ended(gateway, request, job, ended, seconds)


async def until_ended(
    gateway: Gateway, request: Request, job: Job, ended: asyncio.Event, seconds: float
) -> Job | None:
    """The same for a job as it was when `ended` (of `JobQueue.watch`) was listening already."""
    if job.status.terminal:
        return job
    clock = asyncio.get_running_loop().time
    deadline = clock() + seconds
    # Only these are ever cancelled: redis-py on Python 3.11 may lose the cancellation of a command.
    stopping = asyncio.create_task(gateway.stopping.wait())
    leaving = asyncio.create_task(_disconnected(request))
    try:
        while True:
            end = asyncio.create_task(ended.wait())
            await asyncio.wait(
                (end, stopping, leaving), timeout=deadline - clock(), return_when=asyncio.FIRST_COMPLETED
            )
            end.cancel()
            if leaving.done():
                raise ClientDisconnect
            ended.clear()
            now = await gateway.queue.get(job.id)
            if now is None or now.status.terminal or stopping.done() or clock() >= deadline:
                return now
    finally:
        stopping.cancel()
        leaving.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
