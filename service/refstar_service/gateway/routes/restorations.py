"""A restoration as a resource: asked for, looked at, waited for, canceled, deleted."""

import asyncio
import re
from contextlib import AsyncExitStack
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request, Response
from pydantic import WithJsonSchema

from refstar_service.gateway.http.auth import Caller, CallerDep
from refstar_service.gateway.http.context import Gateway, GatewayDep
from refstar_service.gateway.http.limits import restoration
from refstar_service.gateway.http.problems import Problem, ProblemType
from refstar_service.gateway.http.representation import represented, unless_known
from refstar_service.gateway.http.responses import links, problem_responses
from refstar_service.gateway.http.waiting import requested_wait, until_ended, wait_for
from refstar_service.gateway.requests.creation import made_once
from refstar_service.gateway.requests.enrollments import ready_person
from refstar_service.gateway.requests.form import Form, beside
from refstar_service.gateway.requests.idempotency import IdempotencyKeyHeader, Turn
from refstar_service.gateway.requests.options import form_schema
from refstar_service.gateway.requests.submission import (
    MOST_REFERENCES,
    checked,
    form_limits,
    input_keys,
    result_keys,
    submit,
)
from refstar_service.gateway.requests.webhooks import check_webhook
from refstar_service.gateway.routes.resources import Restoration
from refstar_service.jobs import Job, JobStatus, Task

# Ids are made here, and become part of blob keys: anything else is not even looked up.
_JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")

router = APIRouter(prefix="/v1/restorations", tags=["restorations"])

PreferHeader = Annotated[
    list[str] | None,
    WithJsonSchema({"type": "string"}),
    Header(
        alias="Prefer",
        description="`wait=n` holds the answer until the restoration ends, for n seconds (60 at most).",
    ),
]
_REQUEST_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"multipart/form-data": {"schema": form_schema(MOST_REFERENCES)}},
    }
}


def existing(job: Job | None, job_id: str, caller: Caller) -> Job:
    """The caller's job; raises Problem if there is none, and the same if it is somebody else's or no restoration."""
    if job is None or not caller.owns(job.owner) or job.request.task is not Task.RESTORE:
        raise Problem(ProblemType.UNKNOWN_RESTORATION, f"There is no restoration {job_id[:80]!r}.")
    return job


def checked_id(job_id: str) -> str:
    if not _JOB_ID.fullmatch(job_id):
        raise Problem(ProblemType.UNKNOWN_RESTORATION, f"There is no restoration {job_id[:80]!r}.")
    return job_id


def retry_after(position: int | None) -> str:
    """Seconds until it is worth asking again: one, and one more for every ten jobs ahead, 30 at most."""
    return str(min(30, 1 + (position or 0) // 10))


_LINKS = links(
    "job_id",
    "read_v1_restorations__job_id__get",
    "cancel_v1_restorations__job_id__cancel_post",
    "image_v1_restorations__job_id__image_get",
    "selection_v1_restorations__job_id__selection_get",
    "delete_v1_restorations__job_id__delete",
)


@router.post(
    "",
    status_code=202,
    response_model=Restoration,
    response_description="It was accepted.",
    openapi_extra=_REQUEST_BODY,
    responses={
        201: {
            "model": Restoration,
            "description": "It ended within the wait that `Prefer` asked for.",
            **_LINKS,
        },
        202: _LINKS,
        **problem_responses(
            ProblemType.MALFORMED_REQUEST,
            ProblemType.IDEMPOTENCY_KEY_MALFORMED,
            ProblemType.IDEMPOTENCY_KEY_REUSED,
            ProblemType.IDEMPOTENT_REQUEST_RUNNING,
            ProblemType.UPLOAD_TIMEOUT,
            ProblemType.REQUEST_TOO_LARGE,
            ProblemType.IMAGE_TOO_MANY_BYTES,
            ProblemType.UNSUPPORTED_MEDIA_TYPE,
            ProblemType.INVALID_PARAMETER,
            ProblemType.UNKNOWN_PARAMETER,
            ProblemType.MISSING_IMAGE,
            ProblemType.UNKNOWN_MODEL,
            ProblemType.TOO_MANY_REFERENCES,
            ProblemType.REFERENCES_REQUIRED,
            ProblemType.UNKNOWN_PERSON,
            ProblemType.PERSON_NOT_READY,
            ProblemType.PERSON_FAILED,
            ProblemType.RESULT_TOO_LARGE,
            ProblemType.NOT_SQUARE,
            ProblemType.NOT_AN_IMAGE,
            ProblemType.IMAGE_EMPTY,
            ProblemType.IMAGE_TRUNCATED,
            ProblemType.IMAGE_TYPE_MISMATCH,
            ProblemType.IMAGE_TYPE_UNSUPPORTED,
            ProblemType.IMAGE_TOO_MANY_PIXELS,
            ProblemType.IMAGE_TOO_SMALL,
            ProblemType.IMAGE_ANIMATED,
            ProblemType.IMAGE_UNDECODABLE,
            ProblemType.WEBHOOK_URL_REFUSED,
            ProblemType.WEBHOOK_URL_GONE,
            ProblemType.WEBHOOKS_NOT_CONFIGURED,
            ProblemType.TOO_MANY_WEBHOOKS,
            ProblemType.QUEUE_FULL,
            ProblemType.QUOTA_EXCEEDED,
            ProblemType.TOO_MANY_UNFINISHED,
            ProblemType.TOO_MANY_UPLOADS,
            ProblemType.QUEUE_UNAVAILABLE,
            ProblemType.STORAGE_UNAVAILABLE,
            ProblemType.NO_MODEL,
        ),
    },
)
async def create(
    request: Request,
    gateway: GatewayDep,
    caller: CallerDep,
    prefer: PreferHeader = None,
    key: IdempotencyKeyHeader = None,
) -> Response:
    """Ask for a restoration. Everything that can be checked is checked before this answers."""
    seconds = requested_wait(prefer or (), gateway.settings.max_wait)
    async with AsyncExitStack() as listening:

        async def make(form: Form, turn: Turn) -> tuple[Job, asyncio.Event | None]:
            # Before it is queued: then how it stands need not be asked after.
            watch = gateway.queue.watch(turn.id, end_only=True)
            ended = await listening.enter_async_context(watch) if seconds else None
            made_before = await _made_before(gateway, caller, turn)
            return made_before or await _made(request, gateway, caller, form, turn), ended

        limits = form_limits(gateway.settings)
        job, ended = await made_once(request, gateway, caller, limits, make)
        if seconds and ended is not None:
            job = existing(await until_ended(gateway, request, job, ended, seconds), job.id, caller)
    response = await _answer(gateway, job, 201 if job.status.terminal else 202, seconds)
    response.headers["Location"] = f"{router.prefix}/{job.id}"
    return response


async def _made_before(gateway: Gateway, caller: Caller, turn: Turn) -> Job | None:
    job = await gateway.queue.get(turn.id) if turn.repeated else None
    return existing(job, turn.id, caller) if turn.done else job


async def _made(request: Request, gateway: Gateway, caller: Caller, form: Form, turn: Turn) -> Job:
    named = form.fields.get("person", "").strip()
    person = await ready_person(gateway, caller, named) if named else None
    submission = await beside(form, checked, form, gateway.models, gateway.settings, turn.id, person)
    if submission.webhook:
        await check_webhook(gateway, caller, submission.webhook)
    async with restoration(request, gateway, caller.owner, caller.limits, turn.id):
        job = await submit(gateway, submission, caller.owner)
    gateway.metrics.jobs_submitted.labels(job.priority).inc()
    return job


@router.get(
    "/{job_id}",
    response_model=Restoration,
    responses={
        304: {"description": "It has not changed since the `ETag` in `If-None-Match`."},
        **problem_responses(ProblemType.UNKNOWN_RESTORATION, ProblemType.QUEUE_UNAVAILABLE),
    },
)
async def read(
    job_id: str,
    request: Request,
    gateway: GatewayDep,
    caller: CallerDep,
    prefer: PreferHeader = None,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """How far a restoration is; once it has ended, what came of it."""
    checked_id(job_id)
    seconds = requested_wait(prefer or (), gateway.settings.max_wait)
    job = existing(await gateway.queue.get(job_id), job_id, caller)
    if seconds:  # only now: how long an answer takes must not tell of other people's restorations
        job = existing(await wait_for(gateway, request, job_id, seconds), job_id, caller)
    return unless_known(await _answer(gateway, job, 200, seconds), if_none_match)


@router.post(
    "/{job_id}/cancel",
    response_model=Restoration,
    responses=problem_responses(ProblemType.UNKNOWN_RESTORATION, ProblemType.QUEUE_UNAVAILABLE),
)
async def cancel(job_id: str, gateway: GatewayDep, caller: CallerDep) -> Response:
    """Stop a restoration: a queued one now, a running one when its worker comes to it. One that has ended
    stays as it is, so repeating this is harmless."""
    existing(await gateway.queue.get(checked_id(job_id)), job_id, caller)
    job = existing(await gateway.queue.cancel(job_id), job_id, caller)
    if job.status is JobStatus.CANCELED:
        await gateway.blobs.delete(*input_keys(job_id))
    return await _answer(gateway, job, 200, None)


@router.delete("/{job_id}", status_code=204, responses=problem_responses(ProblemType.QUEUE_UNAVAILABLE))
async def delete(job_id: str, gateway: GatewayDep, caller: CallerDep) -> Response:
    """Forget a restoration, whatever it is doing, and delete its pictures now. Deleting what is not there is
    no error, so repeating this is harmless."""
    job = await gateway.queue.get(job_id) if _JOB_ID.fullmatch(job_id) else None
    if job is not None and caller.owns(job.owner) and job.request.task is Task.RESTORE:
        # The pictures first: if this is cut short, repeating it still finds them. Then those of a result that was
        # recorded in between; a worker that is still at it deletes its own.
        await gateway.blobs.delete(*input_keys(job_id), *result_keys(job))
        await gateway.blobs.delete(*input_keys(job_id), *result_keys(await gateway.queue.delete(job_id)))
        await gateway.usage.let_go(caller.owner, job_id)
    return Response(status_code=204)


async def _answer(gateway: Gateway, job: Job, status: int, waited: int | None) -> Response:
    position = await gateway.queue.position(job.id) if job.status is JobStatus.QUEUED else None
    later = None if job.status.terminal else retry_after(position)
    return represented(Restoration.of(job, position), status, waited=waited, retry_after=later)
