"""A restoration as it changes: server-sent events, for browsers an `EventSource`.

The id of an event says which state it tells of. A client that comes back with the last one it got, to this gateway or
to another, is told what has changed since, or nothing if nothing has.
"""

import asyncio
import logging
from typing import Annotated

from fastapi import Header, Response
from redis.exceptions import RedisError
from starlette.types import Receive, Scope, Send

from refstar_service.gateway.http.auth import Caller, CallerDep
from refstar_service.gateway.http.context import Gateway, GatewayDep
from refstar_service.gateway.http.problem_types import ProblemType
from refstar_service.gateway.http.responses import describe_problems
from refstar_service.gateway.http.router import new_router
from refstar_service.gateway.requests.lookup import RestorationId, find_restoration
from refstar_service.gateway.routes.resources import Restoration
from refstar_service.jobs import Job, JobStatus

RECONNECT_AFTER = 1000  # milliseconds until a browser whose stream ended comes back
HEARTBEAT = (
    15.0  # seconds of silence after which a comment shows that the stream lives: proxies cut silent ones
)
MOVES_EVERY = 2.0  # seconds between looks at the place in the queue
AWAY = 1.0  # seconds until Redis is asked again when it did not answer

log = logging.getLogger(__name__)
router = new_router("/v1/restorations", tag="restorations")

_STREAM = {
    "description": "Each event carries the restoration. The stream closes after the event that tells of its end.",
    # The stream as text: OpenAPI 3.1 has no word for a sequence of events.
    "content": {
        "text/event-stream": {
            "schema": {
                "type": "string",
                "description": "Events as the HTML standard has them. `data` is a Restoration as JSON; of the event "
                "`deleted`, which tells that the restoration was deleted, it is `{}`. No event is without data.",
            }
        }
    },
}


@router.get(
    "/{job_id}/events",
    response_class=Response,
    responses={
        200: _STREAM,
        204: {
            "description": "The restoration has ended, and `Last-Event-ID` is its last event: no more will come."
        },
        **describe_problems(
            ProblemType.UNKNOWN_RESTORATION, ProblemType.TOO_MANY_STREAMS, ProblemType.QUEUE_UNAVAILABLE
        ),
    },
)
async def stream_events(
    job_id: RestorationId,
    gateway: GatewayDep,
    caller: CallerDep,
    last_event_id: Annotated[
        str | None, Header(alias="Last-Event-ID", description="The last event that the client got.")
    ] = None,
) -> Response:
    """Follow a restoration as server-sent events. They tell of its current state first, then of every change, every
    move in the queue and its progress, until it ends. With `Last-Event-ID`, which browsers send when they reconnect,
    events are not repeated."""
    job = await find_restoration(gateway, caller, job_id)
    if job.status.terminal and last_event_id == _event_id(job, None):
        return Response(status_code=204)  # which also keeps a browser from coming back
    return _Events(gateway, caller, job_id, last_event_id)


class _Events(Response):
    """Pure ASGI, as `waiting` is and for its reason: no call to Redis is ever cancelled."""

    def __init__(self, gateway: Gateway, caller: Caller, job_id: str, last_event_id: str | None) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(headers=headers, media_type="text/event-stream")
        del self.headers["content-length"]
        self._gateway, self._caller, self._job_id, self._told = gateway, caller, job_id, last_event_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        streams, queue = self._gateway.streams, self._gateway.queue
        watching = self._gateway.revocations.watch(self._caller.token_id)
        with (
            streams.open(self._job_id, self._caller.owner),
            self._gateway.metrics.event_streams.track_inprogress(),
        ):
            async with queue.watch(self._job_id) as changed, watching as revoked:
                await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                # No empty line behind it, nor behind the comment below: some clients would take them for events.
                await self._send(send, f"retry: {RECONNECT_AFTER}\n")
                await self._tell(receive, send, changed, revoked)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _tell(
        self, receive: Receive, send: Send, changed: asyncio.Event, revoked: asyncio.Event
    ) -> None:
        """Until the restoration has ended, the client has left, its key is revoked or the gateway stops."""
        stopping = asyncio.create_task(self._gateway.stopping.wait())
        leaving = asyncio.create_task(_await_disconnect(receive))
        losing = asyncio.create_task(revoked.wait())
        clock = asyncio.get_running_loop().time
        spoke = clock()
        try:
            while not (stopping.done() or leaving.done() or losing.done()):
                changed.clear()
                pause = HEARTBEAT
                try:
                    job, position = await self._look()
                except RedisError as error:
                    # To end the stream would make browsers ask again, and give up for good at the 503.
                    log.warning("event stream of %s: Redis does not answer: %s", self._job_id, error)
                    pause = AWAY
                else:
                    if job is None:
                        await self._send(send, "event: deleted\ndata: {}\n\n")
                        return
                    told, self._told = self._told, _event_id(job, position)
                    if self._told != told:
                        body = Restoration.of(job, position).model_dump_json(by_alias=True)
                        await self._send(send, f"id: {self._told}\ndata: {body}\n\n")
                        spoke = clock()
                    if job.status.terminal:
                        return
                    if job.status is JobStatus.QUEUED:
                        pause = MOVES_EVERY
                if clock() - spoke >= HEARTBEAT:
                    await self._send(send, ":\n")
                    spoke = clock()
                change = asyncio.create_task(changed.wait())
                await asyncio.wait(
                    (change, stopping, leaving, losing), timeout=pause, return_when=asyncio.FIRST_COMPLETED
                )
                change.cancel()
        finally:
            stopping.cancel()
            leaving.cancel()
            losing.cancel()

    async def _look(self) -> tuple[Job | None, int | None]:
        job = await self._gateway.queue.get(self._job_id)
        if job is None or job.status is not JobStatus.QUEUED:
            return job, None
        return job, await self._gateway.streams.position(self._job_id)

    async def _send(self, send: Send, text: str) -> None:
        await send({"type": "http.response.body", "body": text.encode(), "more_body": True})


def _event_id(job: Job, position: int | None) -> str:
    """The same at every gateway, and another one after every change."""
    if job.progress is not None:
        return f"{job.version}.{job.progress.stage}.{job.progress.faces_done}"
    return f"{job.version}" if position is None else f"{job.version}.{position}"


async def _await_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
