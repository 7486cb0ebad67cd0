"""`Prefer: wait=n` (RFC 7240): hold an answer until the job ends, the time is over or nobody listens."""

import asyncio
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated

from fastapi import Header, Request
from pydantic import WithJsonSchema
from starlette.requests import ClientDisconnect

from refstar_service.gateway.http.auth import Caller, report_invalid_key
from refstar_service.gateway.http.context import Gateway
from refstar_service.jobs import Job

LONGEST_POLL_DELAY = 30  # seconds
_WAIT = re.compile(r'wait\s*=\s*"?(\d{1,9})"?', re.IGNORECASE)

PreferHeader = Annotated[
    list[str] | None,
    WithJsonSchema({"type": "string"}),
    Header(
        alias="Prefer",
        description="`wait=n` holds the response until the work is done, for up to n seconds (at most 60).",
    ),
]


def parse_wait(prefer: Sequence[str] | None, cap: int) -> int | None:
    """Seconds asked for by the Prefer headers, at most `cap`; None if none asks. A bad one is no error."""
    for header in prefer or ():
        for preference in re.split(r"[,;]", header):
            if match := _WAIT.fullmatch(preference.strip()):
                return min(int(match[1]), cap)
    return None


@contextmanager
def hold_wait(gateway: Gateway, caller: Caller, prefer: Sequence[str] | None) -> Iterator[int | None]:
    """The seconds that a request may wait for as long as it is in here: those that it asks for, or None if as many wait
    as may, or this caller's share does. That is no error, since a preference may be ignored."""
    seconds = parse_wait(prefer, gateway.settings.max_wait)
    if not seconds:
        yield seconds
    elif gateway.waits.take(caller.owner) is not None:
        yield None
    else:
        try:
            yield seconds
        finally:
            gateway.waits.give_back(caller.owner)


def estimate_poll_delay(position: int | None) -> int:
    """Seconds until it is worth asking again: one, and one more for every ten jobs ahead."""
    return min(LONGEST_POLL_DELAY, 1 + (position or 0) // 10)


async def wait_for_job(
    gateway: Gateway, request: Request, caller: Caller, job_id: str, seconds: float
) -> Job | None:
    """The job when it is terminal, or as it stands after `seconds` or at a stop; None if it is gone.

    Raises ClientDisconnect if the client goes away, and ProblemError if its key is revoked. The request's body must
    have been read.
    """
    async with gateway.queue.watch(job_id, end_only=True) as ended:
        job = await gateway.queue.get(job_id)
        return job and await await_end(gateway, request, caller, job, ended, seconds)


async def await_end(
    gateway: Gateway, request: Request, caller: Caller, job: Job, ended: asyncio.Event, seconds: float
) -> Job | None:
    """The same for a job as it was when `ended` (of `JobQueue.watch`) was listening already."""
    if job.status.terminal:
        return job
    async with gateway.revocations.watch(caller.token_id) as revoked:
        return await _await_end(gateway, request, job, ended, revoked, seconds)


async def _await_end(
    gateway: Gateway,
    request: Request,
    job: Job,
    ended: asyncio.Event,
    revoked: asyncio.Event,
    seconds: float,
) -> Job | None:
    clock = asyncio.get_running_loop().time
    deadline = clock() + seconds
    # Only these are ever cancelled: redis-py on Python 3.11 may lose the cancellation of a command.
    stopping = asyncio.create_task(gateway.stopping.wait())
    leaving = asyncio.create_task(_await_disconnect(request))
    losing = asyncio.create_task(revoked.wait())
    try:
        while True:
            end = asyncio.create_task(ended.wait())
            await asyncio.wait(
                (end, stopping, leaving, losing),
                timeout=deadline - clock(),
                return_when=asyncio.FIRST_COMPLETED,
            )
            end.cancel()
            if leaving.done():
                raise ClientDisconnect
            if losing.done():
                raise report_invalid_key()
            ended.clear()
            now = await gateway.queue.get(job.id)
            if now is None or now.status.terminal or stopping.done() or clock() >= deadline:
                return now
    finally:
        stopping.cancel()
        leaving.cancel()
        losing.cancel()


async def _await_disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
