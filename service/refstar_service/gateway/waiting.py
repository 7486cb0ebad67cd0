"""`Prefer: wait=n` (RFC 7240): hold an answer until the job ends, the time is over or nobody listens."""

import asyncio
import re
from collections.abc import Sequence

from fastapi import Request
from starlette.requests import ClientDisconnect

from refstar_service.gateway.context import Gateway
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
    clock = asyncio.get_running_loop().time
    deadline = clock() + seconds
    # Only these two are ever cancelled: redis-py on Python 3.11 may lose the cancellation of a command.
    stopping = asyncio.create_task(gateway.stopping.wait())
    leaving = asyncio.create_task(_disconnected(request))
    try:
        async with gateway.queue.watch(job_id) as changed:
            while True:
                changed.clear()
                job = await gateway.queue.get(job_id)
                if leaving.done():
                    raise ClientDisconnect
                if job is None or job.status.terminal or stopping.done() or clock() >= deadline:
                    return job
                change = asyncio.create_task(changed.wait())
                await asyncio.wait(
                    (change, stopping, leaving),
                    timeout=deadline - clock(),
                    return_when=asyncio.FIRST_COMPLETED,
                )
                change.cancel()
    finally:
        stopping.cancel()
        leaving.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
