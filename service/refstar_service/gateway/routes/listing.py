"""The caller's restorations, page by page."""

import base64
import binascii
import re
from typing import Annotated, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Response

from refstar_service.gateway.http.auth import CallerDep
from refstar_service.gateway.http.context import GatewayDep
from refstar_service.gateway.http.problems import Problem, ProblemType
from refstar_service.gateway.http.responses import problem_responses
from refstar_service.gateway.routes.resources import Restoration, RestorationList
from refstar_service.jobs import JobStatus, Place

MOST = 100
_PLACE = re.compile(r"(\d{1,20})\.([A-Za-z0-9_-]{1,64})", re.ASCII)

router = APIRouter(prefix="/v1/restorations", tags=["restorations"])

Limit = Annotated[int, Query(ge=1, le=MOST, description="Most entries of a page.")]
Cursor = Annotated[
    str | None, Query(max_length=200, description="Where to go on, as `next` of the page before said.")
]


def cursor_of(place: Place) -> str:
    """Opaque to clients, so that it may change; no secret."""
    return base64.urlsafe_b64encode(f"{place.moment}.{place.id}".encode()).decode().rstrip("=")


def place_of(cursor: str | None) -> Place | None:
    """Raises Problem for what is no cursor of ours."""
    if cursor is None:
        return None
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        text = ""
    if match := _PLACE.fullmatch(text):
        return Place(match[1], match[2])
    raise Problem(
        ProblemType.INVALID_PARAMETER,
        f"cursor is {cursor[:80]!r}, and no list of this service says so; begin without one.",
        errors=[{"parameter": "cursor", "value": cursor[:80], "reason": "is not one that `next` gave"}],
    )


@router.get(
    "",
    responses=problem_responses(ProblemType.INVALID_PARAMETER, ProblemType.QUEUE_UNAVAILABLE),
)
async def restorations(
    response: Response,
    gateway: GatewayDep,
    caller: CallerDep,
    status: Annotated[
        Literal["queued", "running", "succeeded", "failed", "canceled", "expired"] | None,
        Query(description="Only those that stand so."),
    ] = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> RestorationList:
    """Your restorations, newest first; expired ones for as long as they are remembered."""
    wanted = JobStatus(status) if status else None
    page = await gateway.queue.jobs_of(caller.owner, limit=limit, status=wanted, after=place_of(cursor))
    queued = [job.id for job in page.jobs if job.status is JobStatus.QUEUED]
    positions = dict(zip(queued, await gateway.queue.positions(queued), strict=True))
    onward = None
    if page.rest is not None:
        query = {"status": status, "limit": limit, "cursor": cursor_of(page.rest)}
        onward = f"{router.prefix}?{urlencode({name: value for name, value in query.items() if value is not None})}"
        response.headers["Link"] = f'<{onward}>; rel="next"'
    response.headers["Cache-Control"] = "private, no-cache"
    return RestorationList(
        restorations=[Restoration.of(job, positions.get(job.id)) for job in page.jobs], next=onward
    )
