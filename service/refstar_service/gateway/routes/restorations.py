"""A restoration as a resource: asked for, looked at, listed, waited for, canceled, deleted."""

import asyncio
from contextlib import AsyncExitStack
from typing import Annotated, Literal

from fastapi import Query, Request, Response

from refstar_service.gateway.http.auth import Caller, CallerDep
from refstar_service.gateway.http.context import Gateway, GatewayDep
from refstar_service.gateway.http.full_disk import outlast_full_disk
from refstar_service.gateway.http.limits import charge_restoration
from refstar_service.gateway.http.paging import Cursor, Limit, link_next_page, parse_cursor
from refstar_service.gateway.http.problem_types import ProblemType
from refstar_service.gateway.http.problems import ProblemError
from refstar_service.gateway.http.representation import IfNoneMatch, omit_if_known, render_resource
from refstar_service.gateway.http.responses import (
    IDEMPOTENCY_PROBLEMS,
    PICTURE_PROBLEMS,
    SUBMISSION_PROBLEMS,
    describe_links,
    describe_problems,
)
from refstar_service.gateway.http.router import new_router
from refstar_service.gateway.http.waiting import (
    PreferHeader,
    await_end,
    estimate_poll_delay,
    hold_wait,
    wait_for_job,
)
from refstar_service.gateway.requests.enrollments import find_people
from refstar_service.gateway.requests.form import Form, scan_form
from refstar_service.gateway.requests.idempotency import Creation, IdempotencyKeyHeader, create_once
from refstar_service.gateway.requests.lookup import (
    RestorationId,
    find_restoration,
    find_restoration_or_none,
    own_restoration,
)
from refstar_service.gateway.requests.options import describe_body
from refstar_service.gateway.requests.submission import (
    ShadowHeader,
    form_limits,
    read_submission,
    result_keys,
    submit_job,
)
from refstar_service.gateway.requests.webhooks import check_webhook
from refstar_service.gateway.requests.withdrawal import count_withdrawn
from refstar_service.gateway.routes.resources import Restoration, RestorationList
from refstar_service.jobs import Job, JobStatus, Priority, RestoreRequest
from refstar_service.jobs.request import input_keys, shadow_id

router = new_router("/v1/restorations", tag="restorations")

_LINKS = describe_links(
    "job_id",
    "read_restoration",
    "cancel_restoration",
    "download_image",
    "download_selection",
    "delete_restoration",
)


@router.post(
    "",
    status_code=202,
    response_model=Restoration,
    response_description="The restoration was accepted and is queued or running.",
    openapi_extra=describe_body("Restoration"),
    responses={
        201: {
            "model": Restoration,
            "description": "The restoration ended within the wait that `Prefer` asked for.",
            **_LINKS,
        },
        202: _LINKS,
        **describe_problems(
            *SUBMISSION_PROBLEMS,
            *IDEMPOTENCY_PROBLEMS,
            *PICTURE_PROBLEMS,
            ProblemType.MISSING_IMAGE,
            ProblemType.PRIORITY_NOT_PERMITTED,
            ProblemType.REFERENCES_REQUIRED,
            ProblemType.UNKNOWN_PERSON,
            ProblemType.PERSON_NOT_READY,
            ProblemType.PERSON_FAILED,
            ProblemType.RESULT_TOO_LARGE,
            ProblemType.OUTPUT_URL_REFUSED,
            ProblemType.WEBHOOK_URL_REFUSED,
            ProblemType.WEBHOOK_URL_GONE,
            ProblemType.WEBHOOKS_NOT_CONFIGURED,
            ProblemType.TOO_MANY_WEBHOOKS,
        ),
    },
)
async def create_restoration(
    request: Request,
    gateway: GatewayDep,
    caller: CallerDep,
    prefer: PreferHeader = None,
    key: IdempotencyKeyHeader = None,
    shadow: ShadowHeader = None,
) -> Response:
    """Submit a restoration. Everything that can be checked without decoding the pictures is checked before the
    response is sent. Pictures that are named by URL are fetched by a worker, so what is wrong with them makes the
    restoration fail."""
    async with AsyncExitStack() as held:
        seconds = held.enter_context(hold_wait(gateway, caller, prefer))

        async def create(form: Form, creation: Creation) -> tuple[Job, asyncio.Event | None]:
            # Before it is queued: then how it stands need not be asked after.
            watch = gateway.queue.watch(creation.id, end_only=True)
            ended = await held.enter_async_context(watch) if seconds else None
            job = await _find_created(gateway, caller, creation)
            return job or await _submit(request, gateway, caller, form, creation), ended

        limits = form_limits(gateway.settings)
        job, ended = await create_once(request, gateway, caller, limits, create)
        if seconds and ended is not None:
            now = await await_end(gateway, request, caller, job, ended, seconds)
            job = own_restoration(now, job.id, caller)
    response = await _render(gateway, job, 201 if job.status.terminal else 202, seconds)
    response.headers["Location"] = f"{router.prefix}/{job.id}"
    return response


async def _find_created(gateway: Gateway, caller: Caller, creation: Creation) -> Job | None:
    if creation.done:
        return await find_restoration(gateway, caller, creation.id)
    return await gateway.queue.get(creation.id) if creation.repeated else None


async def _submit(request: Request, gateway: Gateway, caller: Caller, form: Form, creation: Creation) -> Job:
    people = await find_people(gateway, caller, form.lists.get("person", ()))
    submission = await scan_form(
        form,
        read_submission,
        form,
        gateway.rollout,
        gateway.settings,
        creation.id,
        owner=caller.owner,
        people=people,
        shadow=request.headers.get("Shadow-Model"),
    )
    if submission.priority is Priority.HIGH and not caller.may_prioritize:
        raise ProblemError(
            ProblemType.PRIORITY_NOT_PERMITTED,
            "The restoration was not queued: this key may only use priority=normal.",
            parameter="priority",
        )
    if submission.webhook:
        await check_webhook(gateway, caller, submission.webhook)
    charged = charge_restoration(request, gateway, caller.owner, caller.limits, creation.id, creation.is_ours)
    async with charged:
        job = await submit_job(gateway, submission, caller.owner, creation)
    gateway.metrics.jobs_submitted.labels(job.priority).inc()
    return job


@router.get("", responses=describe_problems(ProblemType.INVALID_PARAMETER, ProblemType.QUEUE_UNAVAILABLE))
async def list_restorations(
    response: Response,
    gateway: GatewayDep,
    caller: CallerDep,
    status: Annotated[
        Literal["queued", "running", "succeeded", "failed", "canceled", "expired"] | None,
        Query(description="Only restorations with this status."),
    ] = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> RestorationList:
    """List your restorations, newest first. Expired ones are listed until the service forgets them."""
    wanted = JobStatus(status) if status else None
    page = await gateway.queue.jobs_of(caller.owner, limit=limit, status=wanted, after=parse_cursor(cursor))
    queued = [job.id for job in page.jobs if job.status is JobStatus.QUEUED]
    positions = dict(zip(queued, await gateway.queue.positions(queued), strict=True))
    following = link_next_page(response, router.prefix, page.rest, {"status": status, "limit": limit})
    response.headers["Cache-Control"] = "private, no-cache"
    return RestorationList(
        restorations=[Restoration.of(job, positions.get(job.id)) for job in page.jobs], next=following
    )


@router.get(
    "/{job_id}",
    response_model=Restoration,
    responses={
        304: {"description": "The restoration has not changed since the `ETag` in `If-None-Match`."},
        **describe_problems(ProblemType.UNKNOWN_RESTORATION, ProblemType.QUEUE_UNAVAILABLE),
    },
)
async def read_restoration(
    job_id: RestorationId,
    request: Request,
    gateway: GatewayDep,
    caller: CallerDep,
    prefer: PreferHeader = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Get the status of a restoration. Once it has ended, the response also tells its outcome."""
    job = await find_restoration(gateway, caller, job_id)
    with hold_wait(gateway, caller, prefer) as seconds:
        if seconds:  # only now: how long an answer takes must not tell of other people's restorations
            job = own_restoration(
                await wait_for_job(gateway, request, caller, job_id, seconds), job_id, caller
            )
    return omit_if_known(await _render(gateway, job, 200, seconds), if_none_match)


@router.post(
    "/{job_id}/cancel",
    response_model=Restoration,
    responses=describe_problems(ProblemType.UNKNOWN_RESTORATION, ProblemType.QUEUE_UNAVAILABLE),
)
async def cancel_restoration(job_id: RestorationId, gateway: GatewayDep, caller: CallerDep) -> Response:
    """Cancel a restoration. A queued one ends at once, a running one as soon as its worker notices. Canceling one
    that has ended changes nothing, so it is safe to repeat."""
    await find_restoration(gateway, caller, job_id)
    job = own_restoration(await gateway.queue.cancel(job_id), job_id, caller)
    count_withdrawn(gateway, job)
    if job.status is JobStatus.CANCELED:
        await gateway.blobs.delete(*input_keys(job_id))
    return await _render(gateway, job, 200, None)


@router.delete("/{job_id}", status_code=204, responses=describe_problems(ProblemType.QUEUE_UNAVAILABLE))
async def delete_restoration(job_id: RestorationId, gateway: GatewayDep, caller: CallerDep) -> Response:
    """Delete a restoration and its pictures now. Its status does not matter. Deleting one that does not exist succeeds,
    so it is safe to repeat."""
    job = await find_restoration_or_none(gateway, caller, job_id)
    if job is not None:
        # The pictures first: if this is cut short, repeating it still finds them. Then those of a result that was
        # recorded in between; a worker that is still at it deletes its own.
        await gateway.blobs.delete(*input_keys(job_id), *result_keys(job))
        last = await outlast_full_disk(lambda: gateway.queue.delete(job_id))
        count_withdrawn(gateway, last)
        await gateway.blobs.delete(*input_keys(job_id), *result_keys(last))
        if isinstance(job.request, RestoreRequest) and job.request.shadow:
            await gateway.queue.delete(shadow_id(job_id))
        await gateway.usage.let_go(caller.owner, job_id)
    return Response(status_code=204)


async def _render(gateway: Gateway, job: Job, status: int, waited: int | None) -> Response:
    position = await gateway.queue.position(job.id) if job.status is JobStatus.QUEUED else None
    later = None if job.status.terminal else estimate_poll_delay(position)
    return render_resource(Restoration.of(job, position), status, waited=waited, retry_after=later)
