"""People whose references are stored once: stored, looked at, listed, deleted."""

import asyncio
import contextlib
import re
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Header, Request, Response
from redis.exceptions import RedisError

from refstar_service import logs
from refstar_service.gateway.http.auth import Caller, CallerDep
from refstar_service.gateway.http.context import Gateway, GatewayDep
from refstar_service.gateway.http.limits import restoration
from refstar_service.gateway.http.problems import Problem, ProblemType
from refstar_service.gateway.http.representation import represented, unless_known
from refstar_service.gateway.http.responses import links, problem_responses
from refstar_service.gateway.http.waiting import requested_wait, wait_for
from refstar_service.gateway.requests.creation import made_once
from refstar_service.gateway.requests.enrollments import enrollment, existing_person, person_limits, settled
from refstar_service.gateway.requests.form import Form, beside
from refstar_service.gateway.requests.idempotency import IdempotencyKeyHeader, Turn
from refstar_service.gateway.requests.options import person_schema
from refstar_service.gateway.requests.submission import MOST_REFERENCES, input_keys, submit
from refstar_service.gateway.routes.listing import Cursor, Limit, cursor_of, place_of
from refstar_service.gateway.routes.resources import PersonList, PersonResource
from refstar_service.gateway.routes.restorations import PreferHeader
from refstar_service.people import PeopleFull, Person, PersonStatus, blob_keys

_PERSON_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")

router = APIRouter(prefix="/v1/people", tags=["people"])

_REQUEST_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"multipart/form-data": {"schema": person_schema(MOST_REFERENCES)}},
    }
}


_LINKS = links("person_id", "read_v1_people__person_id__get", "delete_v1_people__person_id__delete")


@router.post(
    "",
    status_code=202,
    response_model=PersonResource,
    response_description="It was accepted; a worker will look at the references.",
    openapi_extra=_REQUEST_BODY,
    responses={
        201: {
            "model": PersonResource,
            "description": "It ended within the wait that `Prefer` asked for.",
            **_LINKS,
        },
        202: _LINKS,
        **problem_responses(
            ProblemType.MALFORMED_REQUEST,
            ProblemType.UPLOAD_TIMEOUT,
            ProblemType.REQUEST_TOO_LARGE,
            ProblemType.IMAGE_TOO_MANY_BYTES,
            ProblemType.UNSUPPORTED_MEDIA_TYPE,
            ProblemType.INVALID_PARAMETER,
            ProblemType.UNKNOWN_PARAMETER,
            ProblemType.MISSING_REFERENCES,
            ProblemType.TOO_MANY_REFERENCES,
            ProblemType.UNKNOWN_MODEL,
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
            ProblemType.TOO_MANY_PEOPLE,
            ProblemType.IDEMPOTENCY_KEY_MALFORMED,
            ProblemType.IDEMPOTENCY_KEY_REUSED,
            ProblemType.IDEMPOTENT_REQUEST_RUNNING,
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
    """Store a person's references once, for restorations to name. A worker checks them, cuts the faces and encodes
    them; the photographs themselves are not kept."""

    async def make(form: Form, turn: Turn) -> Person:
        stored_before = await _stored_before(gateway, caller, turn)
        return stored_before or await _stored(request, gateway, caller, form, turn)

    person = await made_once(request, gateway, caller, person_limits(gateway.settings), make)
    seconds = requested_wait(prefer or (), gateway.settings.max_wait)
    person = await _as_it_is(request, gateway, caller, person.id, seconds)
    response = _answer(person, 202 if person.status is PersonStatus.PREPARING else 201, seconds)
    response.headers["Location"] = f"{router.prefix}/{person.id}"
    return response


@router.get("", responses=problem_responses(ProblemType.INVALID_PARAMETER, ProblemType.QUEUE_UNAVAILABLE))
async def people(
    response: Response, gateway: GatewayDep, caller: CallerDep, limit: Limit = 20, cursor: Cursor = None
) -> PersonList:
    """Your people, newest first."""
    page = await gateway.people.of_owner(caller.owner, limit=limit, after=place_of(cursor))
    onward = None
    if page.rest is not None:
        onward = f"{router.prefix}?{urlencode({'limit': limit, 'cursor': cursor_of(page.rest)})}"
        response.headers["Link"] = f'<{onward}>; rel="next"'
    response.headers["Cache-Control"] = "private, no-cache"
    return PersonList(people=[PersonResource.of(person) for person in page.people], next=onward)


@router.get(
    "/{person_id}",
    response_model=PersonResource,
    responses={
        304: {"description": "It has not changed since the `ETag` in `If-None-Match`."},
        **problem_responses(ProblemType.UNKNOWN_PERSON, ProblemType.QUEUE_UNAVAILABLE),
    },
)
async def read(
    person_id: str,
    request: Request,
    gateway: GatewayDep,
    caller: CallerDep,
    prefer: PreferHeader = None,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """A stored person: what was seen in each reference, and whether restorations may name them."""
    if not _PERSON_ID.fullmatch(person_id):
        raise Problem(ProblemType.UNKNOWN_PERSON, f"There is no person {person_id[:80]!r}.")
    seconds = requested_wait(prefer or (), gateway.settings.max_wait)
    person = await _as_it_is(request, gateway, caller, person_id, seconds)
    return unless_known(_answer(person, 200, seconds), if_none_match)


@router.delete("/{person_id}", status_code=204, responses=problem_responses(ProblemType.QUEUE_UNAVAILABLE))
async def delete(person_id: str, gateway: GatewayDep, caller: CallerDep) -> Response:
    """Delete everything of a person now: record, faces, encoded features, and photographs that no worker has looked at.
    Restorations that name them and have not begun will fail. Deleting what is not there is no error."""
    person = await gateway.people.get(person_id) if _PERSON_ID.fullmatch(person_id) else None
    if person is not None and caller.owns(person.owner):
        # The blobs first: if this is cut short, repeating it still finds them. Then those that were stored in between;
        # a worker that is still at it finds the record gone and deletes its own.
        await gateway.blobs.delete(*input_keys(person_id), *blob_keys(person_id, person.encoders))
        last = await gateway.people.delete(person_id) or person
        await gateway.queue.delete(person_id)
        await gateway.blobs.delete(*input_keys(person_id), *blob_keys(person_id, last.encoders))
        await gateway.usage.let_go(caller.owner, person_id)
    return Response(status_code=204)


async def _stored_before(gateway: Gateway, caller: Caller, turn: Turn) -> Person | None:
    person = await gateway.people.get(turn.id) if turn.repeated else None
    if person is not None and not turn.done and await gateway.queue.get(turn.id) is None:
        return None  # its gateway died between the record and the job
    return existing_person(person, turn.id, caller) if turn.done else person


async def _stored(request: Request, gateway: Gateway, caller: Caller, form: Form, turn: Turn) -> Person:
    if not gateway.models:
        raise Problem(ProblemType.NO_MODEL, "No model is installed at this service.")
    model = "refstar" if "refstar" in gateway.models else min(gateway.models)
    asked = await beside(form, enrollment, form, model, gateway.settings, turn.id)
    async with restoration(request, gateway, caller.owner, caller.limits, turn.id):
        try:
            # The record before the job: a worker keeps nothing of somebody who has none.
            person = await gateway.people.add(
                turn.id,
                owner=caller.owner,
                name=asked.name,
                request_id=logs.request_id(),
                limit=gateway.settings.max_people,
                ttl=gateway.settings.person_ttl,
            )
            await submit(gateway, asked.submission, caller.owner)
        except PeopleFull as error:
            raise Problem(
                ProblemType.TOO_MANY_PEOPLE,
                f"{error.count} people are stored, and at most {gateway.settings.max_people} are kept.",
                limit=gateway.settings.max_people,
            ) from error
        except BaseException:
            with contextlib.suppress(RedisError):
                await asyncio.shield(gateway.people.delete(turn.id))
            raise
    return person


async def _as_it_is(
    request: Request, gateway: Gateway, caller: Caller, person_id: str, seconds: int | None
) -> Person:
    """The person, after a wait for a worker if one was asked for."""
    person = existing_person(await gateway.people.get(person_id), person_id, caller)
    if seconds and person.status is PersonStatus.PREPARING:
        await wait_for(gateway, request, person_id, seconds)
        person = existing_person(await gateway.people.get(person_id), person_id, caller)
    return await settled(gateway, person)


def _answer(person: Person, status: int, waited: int | None) -> Response:
    later = "2" if person.status is PersonStatus.PREPARING else None
    return represented(PersonResource.of(person), status, waited=waited, retry_after=later)
