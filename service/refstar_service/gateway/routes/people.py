"""People whose references are stored once: stored, looked at, listed, changed, deleted."""

import asyncio
from functools import partial

from fastapi import Request, Response

from refstar_service import logs
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
from refstar_service.gateway.http.waiting import PreferHeader, hold_wait, wait_for_job
from refstar_service.gateway.requests.changes import (
    Change,
    apply_change,
    begin_change,
    change_limits,
    read_change,
    rename_person,
)
from refstar_service.gateway.requests.enrollments import (
    find_ready_person,
    limit_people,
    person_limits,
    read_enrollment,
    settle_person,
)
from refstar_service.gateway.requests.form import Form, scan_form
from refstar_service.gateway.requests.idempotency import Creation, IdempotencyKeyHeader, create_once
from refstar_service.gateway.requests.lookup import (
    PersonId,
    find_person,
    find_person_or_none,
    report_unknown_person,
)
from refstar_service.gateway.requests.options import describe_body
from refstar_service.gateway.requests.submission import submit_job
from refstar_service.gateway.requests.withdrawal import count_withdrawn
from refstar_service.gateway.routes.resources import PersonList, PersonResource
from refstar_service.jobs.request import reference_keys
from refstar_service.people import PeopleFullError, Person, PersonStatus

POLL_DELAY = 2  # seconds; an enrollment is quick

router = new_router("/v1/people", tag="people")

_LINKS = describe_links("person_id", "read_person", "update_person", "delete_person")


@router.post(
    "",
    status_code=202,
    response_model=PersonResource,
    response_description="The references were accepted; a worker has yet to look at them.",
    openapi_extra=describe_body("Person"),
    responses={
        201: {
            "model": PersonResource,
            "description": "The person was ready, or had failed, within the wait that `Prefer` asked for.",
            **_LINKS,
        },
        202: _LINKS,
        **describe_problems(
            *SUBMISSION_PROBLEMS,
            *IDEMPOTENCY_PROBLEMS,
            *PICTURE_PROBLEMS,
            ProblemType.MISSING_REFERENCES,
            ProblemType.TOO_MANY_PEOPLE,
        ),
    },
)
async def create_person(
    request: Request,
    gateway: GatewayDep,
    caller: CallerDep,
    prefer: PreferHeader = None,
    key: IdempotencyKeyHeader = None,
) -> Response:
    """Store a person's references once. Then restorations can name the person. A worker checks the photographs,
    crops the faces and encodes them; the photographs themselves are not kept."""

    async def create(form: Form, creation: Creation) -> Person:
        person = await _find_created(gateway, caller, creation)
        return person or await _store(request, gateway, caller, form, creation)

    person = await create_once(request, gateway, caller, person_limits(gateway.settings), create)
    with hold_wait(gateway, caller, prefer) as seconds:
        person = await _read_settled(request, gateway, caller, person.id, seconds)
    response = _render(person, 202 if person.status is PersonStatus.PREPARING else 201, seconds)
    response.headers["Location"] = f"{router.prefix}/{person.id}"
    return response


@router.get("", responses=describe_problems(ProblemType.INVALID_PARAMETER, ProblemType.QUEUE_UNAVAILABLE))
async def list_people(
    response: Response, gateway: GatewayDep, caller: CallerDep, limit: Limit = 20, cursor: Cursor = None
) -> PersonList:
    """List your people, newest first."""
    page = await gateway.people.of_owner(caller.owner, limit=limit, after=parse_cursor(cursor))
    following = link_next_page(response, router.prefix, page.rest, {"limit": limit})
    response.headers["Cache-Control"] = "private, no-cache"
    return PersonList(people=[PersonResource.of(person) for person in page.people], next=following)


@router.get(
    "/{person_id}",
    response_model=PersonResource,
    responses={
        304: {"description": "The person has not changed since the `ETag` in `If-None-Match`."},
        **describe_problems(ProblemType.UNKNOWN_PERSON, ProblemType.QUEUE_UNAVAILABLE),
    },
)
async def read_person(
    person_id: PersonId,
    request: Request,
    gateway: GatewayDep,
    caller: CallerDep,
    prefer: PreferHeader = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Get a stored person. The response says what was found in each reference, and whether restorations can name the
    person."""
    with hold_wait(gateway, caller, prefer) as seconds:
        person = await _read_settled(request, gateway, caller, person_id, seconds)
    return omit_if_known(_render(person, 200, seconds), if_none_match)


@router.patch(
    "/{person_id}",
    response_model=PersonResource,
    response_description="The person was changed.",
    openapi_extra=describe_body("PersonChanges"),
    responses={
        202: {
            "model": PersonResource,
            "description": "The references were accepted; a worker has yet to look at them.",
        },
        **describe_problems(
            *SUBMISSION_PROBLEMS,
            *IDEMPOTENCY_PROBLEMS,
            *PICTURE_PROBLEMS,
            ProblemType.UNKNOWN_PERSON,
            ProblemType.PERSON_NOT_READY,
            ProblemType.PERSON_FAILED,
        ),
    },
)
async def update_person(
    person_id: PersonId,
    request: Request,
    gateway: GatewayDep,
    caller: CallerDep,
    prefer: PreferHeader = None,
    key: IdempotencyKeyHeader = None,
) -> Response:
    """Rename a person, add references or remove some. Without further references, the change is made at once. A worker
    looks at further ones as when the person was stored, and only then all of the change but the name is made, or none
    of it: then `error` says why, and the person stays ready. Meanwhile restorations use what was there before. A change
    does not make the person last longer."""

    async def change(form: Form, creation: Creation) -> None:
        if not creation.done:
            begun = creation.repeated and await gateway.queue.get(creation.id) is not None
            await _change(request, gateway, caller, form, person_id, creation, begun=begun)

    await create_once(request, gateway, caller, change_limits(gateway.settings), change)
    with hold_wait(gateway, caller, prefer) as seconds:
        person = await _read_settled(request, gateway, caller, person_id, seconds)
    return _render(person, 202 if person.change else 200, seconds)


@router.delete("/{person_id}", status_code=204, responses=describe_problems(ProblemType.QUEUE_UNAVAILABLE))
async def delete_person(person_id: PersonId, gateway: GatewayDep, caller: CallerDep) -> Response:
    """Delete everything stored of a person now. That is the record, the faces, the encoded features, and any
    photograph that no worker has looked at yet. Restorations that name the person and have not started will fail.
    Deleting a person who does not exist succeeds, so it is safe to repeat."""
    person = await find_person_or_none(gateway, caller, person_id)
    if person is not None:
        # The blobs first: if this is cut short, repeating it still finds them. Then those that were stored in between;
        # a worker that is still at it finds the record gone and deletes its own.
        await gateway.blobs.delete(*reference_keys(person_id), *person.blob_keys)
        last = await outlast_full_disk(lambda: gateway.people.delete(person_id)) or person
        for job_id in {person_id, person.change, last.change} - {""}:
            count_withdrawn(gateway, await gateway.queue.delete(job_id))
            await gateway.blobs.delete(*reference_keys(job_id))
            await gateway.usage.let_go(caller.owner, job_id)
        await gateway.blobs.delete(*last.blob_keys)
    return Response(status_code=204)


async def _find_created(gateway: Gateway, caller: Caller, creation: Creation) -> Person | None:
    if creation.done:
        return await find_person(gateway, caller, creation.id)
    person = await gateway.people.get(creation.id) if creation.repeated else None
    if person is not None and await gateway.queue.get(creation.id) is None:
        return None  # its gateway died between the record and the job
    return person


async def _store(
    request: Request, gateway: Gateway, caller: Caller, form: Form, creation: Creation
) -> Person:
    person_id = creation.id
    if not gateway.models:
        raise ProblemError(ProblemType.NO_MODEL, "No model is installed.")
    most = limit_people(gateway.settings)
    enrollment = await scan_form(form, read_enrollment, form, gateway.settings, person_id)
    charged = charge_restoration(request, gateway, caller.owner, caller.limits, person_id, creation.is_ours)
    async with charged:
        try:
            # The record before the job: a worker keeps nothing of somebody who has none.
            person = await gateway.people.add(
                person_id,
                owner=caller.owner,
                name=enrollment.name,
                request_id=logs.request_id(),
                limit=most,
                ttl=gateway.settings.person_ttl,
            )
            await submit_job(gateway, enrollment.submission, caller.owner, creation)
        except PeopleFullError as error:
            raise ProblemError(
                ProblemType.TOO_MANY_PEOPLE,
                f"{error.count} people are stored, which is as many as there may be.",
                limit=most,
            ) from error
        except BaseException:
            await asyncio.shield(creation.undo(partial(gateway.people.delete, person_id)))
            raise
    return person


async def _change(
    request: Request,
    gateway: Gateway,
    caller: Caller,
    form: Form,
    person_id: str,
    creation: Creation,
    *,
    begun: bool,
) -> None:
    """`begun`: its job is there already."""
    change = await scan_form(form, read_change, form, gateway.settings, creation.id)
    if change.submission is not None and not gateway.models:
        raise ProblemError(ProblemType.NO_MODEL, "No model is installed.")
    await find_ready_person(gateway, caller, person_id)
    if change.submission is None:
        if await apply_change(gateway, person_id, change) is None:
            raise report_unknown_person(person_id)
        return
    if not begun:
        await _submit_change(request, gateway, caller, change, person_id, creation)
    if change.name is not None:
        await rename_person(gateway, person_id, change.name)


async def _submit_change(
    request: Request, gateway: Gateway, caller: Caller, change: Change, person_id: str, creation: Creation
) -> None:
    charged = charge_restoration(request, gateway, caller.owner, caller.limits, creation.id, creation.is_ours)
    async with charged:
        try:
            # The record before the job: a worker keeps nothing that nobody waits for.
            submission = await begin_change(gateway, person_id, change)
            if submission is None:
                raise report_unknown_person(person_id)
            await submit_job(gateway, submission, caller.owner, creation)
        except BaseException:
            give_up = partial(gateway.people.end_change, person_id, creation.id, None)
            await asyncio.shield(creation.undo(give_up))
            raise


async def _read_settled(
    request: Request, gateway: Gateway, caller: Caller, person_id: PersonId, seconds: int | None
) -> Person:
    """The person, after a wait for a worker if one was asked for."""
    person = await find_person(gateway, caller, person_id)
    if seconds and (person.status is PersonStatus.PREPARING or person.change):
        await wait_for_job(gateway, request, caller, person.change or person_id, seconds)
        person = await find_person(gateway, caller, person_id)
    return await settle_person(gateway, person)


def _render(person: Person, status: int, waited: int | None) -> Response:
    delay = POLL_DELAY if person.status is PersonStatus.PREPARING or person.change else None
    return render_resource(PersonResource.of(person), status, waited=waited, retry_after=delay)
