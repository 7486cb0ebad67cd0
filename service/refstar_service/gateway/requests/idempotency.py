"""`Idempotency-Key`: a request that may be sent twice and is carried out once.

By https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/. A key belongs to the API key that sends
it and is remembered for 24 hours after the answer. What is answered again is the thing that was made, as it is now. A
request that was refused made nothing, so its key may be used again, for a corrected request too; so may that of a
request that failed because Redis was away, as soon as Redis is back.
"""

import asyncio
import hashlib
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Annotated, TypeVar

from fastapi import Header, Request
from pydantic import WithJsonSchema
from redis.exceptions import RedisError

from refstar_service.access.repeats import Settlement, State
from refstar_service.gateway.http.auth import Caller
from refstar_service.gateway.http.context import Gateway
from refstar_service.gateway.http.problem_types import ProblemType
from refstar_service.gateway.http.problems import ProblemError
from refstar_service.gateway.requests.document import read_body
from refstar_service.gateway.requests.form import Form, FormLimits, scan_form

MOST_CHARACTERS = 255
# A string of RFC 9651: printable ASCII in quotes, with backslashes before quotes and backslashes only.
_STRING = re.compile(r'"(?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])+"')

IdempotencyKeyHeader = Annotated[
    list[str] | None,
    WithJsonSchema({"type": "string", "pattern": r'^"[A-Za-z0-9-]{1,255}"$', "maxLength": 257}),
    Header(
        alias="Idempotency-Key",
        description="A quoted string of your choice that identifies this request, such as a UUID. If you send the same "
        "request again with the same key within 24 hours, nothing new is created and the response describes what "
        "the first request created. A different request with the same key is refused (422), and so is a repetition "
        "while the first is still in progress (409).",
    ),
]


T = TypeVar("T")


@dataclass(frozen=True)
class Creation:
    """`id`: what to make the thing with. `repeated`: it may be there already, made by an earlier request whose
    gateway died before it could say so; `done`: it was made, and if it is not there, somebody deleted it. `holder`:
    this request, among all with the same key; "" without a key, when nobody else makes anything with the id. `keep`:
    whether that is still so."""

    id: str
    repeated: bool
    done: bool
    holder: str = ""
    keep: Callable[[], Awaitable[bool]] | None = None

    async def is_ours(self) -> bool:
        """Whether what is there under the id is this request's to undo: while it hung, no other one has taken over, and
        none does for the next minute. False also if Redis cannot tell."""
        if self.keep is None:
            return True
        try:
            return await self.keep()
        except RedisError:
            return False

    async def undo(self, act: Callable[[], Awaitable[object]]) -> None:
        """`act`, which undoes what this request has made, if that is its to undo."""
        with suppress(RedisError):
            if await self.is_ours():
                await act()


async def create_once(
    request: Request,
    gateway: Gateway,
    caller: Caller,
    limits: FormLimits,
    create: Callable[[Form, Creation], Awaitable[T]],
) -> T:
    """What `create` returns for the form of this request; raises ProblemError. The upload has its slot until then, and
    its megabytes are gone after it: a wait need not hold them."""
    parse_idempotency_key(request)  # a bad one is refused before megabytes are read
    async with gateway.upload_slot(caller.owner):
        form = await read_body(request, limits)
        async with _begin_creation(request, gateway, caller, form) as creation:
            return await create(form, creation)


@asynccontextmanager
async def _begin_creation(
    request: Request, gateway: Gateway, caller: Caller, form: Form
) -> AsyncIterator[Creation]:
    """Leaving the body without an error records that the thing was made.

    Raises ProblemError while another request makes it. Without the header, every request makes a thing of its own.
    """
    client_key = parse_idempotency_key(request)
    if client_key is None:
        yield Creation(secrets.token_hex(16), repeated=False, done=False)
        return
    fingerprint = await scan_form(form, _hash_form, request.url.path, form)
    record = await gateway.repeats.begin(caller.owner, client_key, fingerprint)
    match record.state:
        case State.DIFFERENT:
            raise ProblemError(
                ProblemType.IDEMPOTENCY_KEY_REUSED,
                "This Idempotency-Key was already used with a different request.",
            )
        case State.RUNNING:
            raise ProblemError(
                ProblemType.IDEMPOTENT_REQUEST_RUNNING,
                "The first request with this Idempotency-Key is still in progress.",
                headers={"Retry-After": "1"},
            )
        case State.DONE:
            request.scope["state"]["headers"]["Idempotency-Replayed"] = "true"
            yield Creation(record.id, repeated=True, done=True)
            return
    keep = partial(gateway.repeats.keep, caller.owner, client_key, record)
    try:
        yield Creation(record.id, repeated=True, done=False, holder=record.holder, keep=keep)
    except BaseException as error:
        # After a lost connection nobody knows whether it was made: the same request again looks for it by its id.
        outcome = Settlement.REFUSED if isinstance(error, ProblemError) else Settlement.UNKNOWN
        await asyncio.shield(gateway.repeats.settle(caller.owner, client_key, record, outcome))
        raise
    await gateway.repeats.settle(caller.owner, client_key, record, Settlement.MADE)


def parse_idempotency_key(request: Request) -> str | None:
    """What the header says, None without one; raises ProblemError if it is not one quoted string."""
    values = request.headers.getlist("idempotency-key")
    if not values:
        return None
    text = values[0].strip(" ")
    if len(values) > 1 or not _STRING.fullmatch(text) or len(text) > MOST_CHARACTERS + 2:
        shown = ", ".join(values)[:80]
        raise ProblemError(
            ProblemType.IDEMPOTENCY_KEY_MALFORMED,
            f"Idempotency-Key must be one string of 1 to {MOST_CHARACTERS} characters in double quotes, such as "
            f'"8e03978e-40d5-43e8-bc93-6894a57f9324", not {shown}.',
        )
    return re.sub(r"\\(.)", r"\1", text[1:-1])


def _hash_form(path: str, form: Form) -> str:
    # Of what was sent and not of its bytes: another try has another multipart boundary.
    digest = hashlib.sha256()
    fields = [("", name, value.encode()) for name, value in sorted(form.fields.items())]
    fields += [("", name, value.encode()) for name, values in sorted(form.lists.items()) for value in values]
    for kind, name, data in (
        ("path", path, b""),
        *fields,
        *((file.field, file.name, file.data) for file in form.files),
    ):
        for part in (kind.encode(), name.encode(), data):
            digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()
