"""`Idempotency-Key`: a request that may be sent twice and is carried out once.

By https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/. A key belongs to the API key that sends
it and is remembered for 24 hours after the answer. What is answered again is the thing that was made, as it is now. A
request that was refused made nothing, so its key may be used again, for a corrected request too.
"""

import asyncio
import hashlib
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Annotated

from fastapi import Header, Request
from pydantic import WithJsonSchema
from redis.exceptions import RedisError

from refstar_service.access.repeats import State
from refstar_service.gateway.http.auth import Caller
from refstar_service.gateway.http.context import Gateway
from refstar_service.gateway.http.problems import Problem, ProblemType
from refstar_service.gateway.requests.form import Form, beside

MOST_CHARACTERS = 255
# A string of RFC 9651: printable ASCII in quotes, with backslashes before quotes and backslashes only.
_STRING = re.compile(r'"(?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])+"')

IdempotencyKeyHeader = Annotated[
    list[str] | None,
    WithJsonSchema({"type": "string", "pattern": r'^"[A-Za-z0-9-]{1,255}"$', "maxLength": 257}),
    Header(
        alias="Idempotency-Key",
        description="A string in quotes that you make up for this request, such as a UUID. Sent again with the same "
        "key within 24 hours, the same request is not carried out again but answered with what it made; with "
        "another body it is refused (422), and while the first is still being read too (409).",
    ),
]


@dataclass(frozen=True)
class Turn:
    """`id`: what to make the thing with. `repeated`: it may be there already, made by an earlier request whose
    gateway died before it could say so; `done`: it was made, and if it is not there, somebody deleted it."""

    id: str
    repeated: bool
    done: bool


@asynccontextmanager
async def once(request: Request, gateway: Gateway, caller: Caller, form: Form) -> AsyncIterator[Turn]:
    """The turn of this request. Leaving the body without an error records that the thing was made.

    Raises Problem if it is not this request's turn. Without the header, every request has one.
    """
    client_key = idempotency_key(request)
    if client_key is None:
        yield Turn(secrets.token_hex(16), repeated=False, done=False)
        return
    fingerprint = await beside(form, _fingerprint, request.url.path, form)
    record = await gateway.repeats.begin(caller.owner, client_key, fingerprint)
    match record.state:
        case State.DIFFERENT:
            raise Problem(
                ProblemType.IDEMPOTENCY_KEY_REUSED,
                "This Idempotency-Key was sent with another request before.",
            )
        case State.RUNNING:
            raise Problem(
                ProblemType.IDEMPOTENT_REQUEST_RUNNING,
                "A request with this Idempotency-Key is being carried out.",
                headers={"Retry-After": "1"},
            )
        case State.DONE:
            request.scope["state"]["headers"]["Idempotency-Replayed"] = "true"
            yield Turn(record.id, repeated=True, done=True)
            return
    try:
        yield Turn(record.id, repeated=True, done=False)
    except BaseException:
        with suppress(RedisError):  # then the record stands until its holder's patience is over
            await asyncio.shield(gateway.repeats.settle(caller.owner, client_key, record, done=False))
        raise
    with suppress(RedisError):  # the thing is made, and whoever comes next finds it by its id
        await gateway.repeats.settle(caller.owner, client_key, record, done=True)


def idempotency_key(request: Request) -> str | None:
    """What the header says, None without one; raises Problem if it is not one quoted string."""
    values = request.headers.getlist("idempotency-key")
    if not values:
        return None
    text = values[0].strip(" ")
    if len(values) > 1 or not _STRING.fullmatch(text) or len(text) > MOST_CHARACTERS + 2:
        shown = ", ".join(values)[:80]
        raise Problem(
            ProblemType.IDEMPOTENCY_KEY_MALFORMED,
            f"Idempotency-Key is {shown}; it must be one string of 1 to {MOST_CHARACTERS} characters in double "
            'quotes, such as "8e03978e-40d5-43e8-bc93-6894a57f9324".',
        )
    return re.sub(r"\\(.)", r"\1", text[1:-1])


def _fingerprint(path: str, form: Form) -> str:
    # Of what was sent and not of its bytes: another try has another multipart boundary.
    digest = hashlib.sha256()
    fields = [("", name, value.encode()) for name, value in sorted(form.fields.items())]
    for kind, name, data in (
        ("path", path, b""),
        *fields,
        *((file.field, file.name, file.data) for file in form.files),
    ):
        for part in (kind.encode(), name.encode(), data):
            digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()
