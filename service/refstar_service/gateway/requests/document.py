"""Reading a JSON document into the same form that a multipart body becomes.

Its members have the types that its schema names: a number is no text here. What they mean is left to those who read
forms.
"""

import asyncio
import json
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, NoReturn

from fastapi import Request
from python_multipart.multipart import parse_options_header

from refstar_service.gateway.http.problem_types import ProblemType
from refstar_service.gateway.http.problems import ProblemError
from refstar_service.gateway.http.validation import report_invalid_parameters, show_value
from refstar_service.gateway.requests.form import (
    Form,
    FormLimits,
    read_form,
    report_slowness,
    report_surplus,
)
from refstar_service.restoration.errors import Fault

MAX_DOCUMENT_BYTES = 256 * 1024  # nine long URLs and the boxes of a large group take a quarter of it

_WORDS = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
}


async def read_body(request: Request, limits: FormLimits) -> Form:
    """The form of a request, sent as one or as a JSON document; raises ProblemError."""
    kind, _ = parse_options_header(request.headers.get("content-type"))
    if kind != b"application/json":
        return await read_form(request, limits)
    members = _parse(await _receive(request, limits))
    fields, lists = {}, {}
    for name, value in members.items():
        schema = _find_schema(name, limits)
        if name in limits.lists:
            lists[name] = _read_list(name, value, limits.lists[name], schema)
        else:
            fields[name] = _as_text(name, value, schema)
    return Form(fields, (), lists)


async def _receive(request: Request, limits: FormLimits) -> bytes:
    body = bytearray()
    try:
        async with asyncio.timeout(limits.timeout):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_DOCUMENT_BYTES:
                    raise _malformed(f"it is longer than {MAX_DOCUMENT_BYTES} bytes")
    except TimeoutError as error:
        raise report_slowness(limits) from error
    return bytes(body)


def _parse(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body.decode(), object_pairs_hook=_collect_once, parse_constant=_refuse_constant)
        json.dumps(document, ensure_ascii=False).encode()  # halves of letters (\\ud800) are no text
    except (ValueError, RecursionError) as error:
        raise _malformed("it is no valid JSON in UTF-8") from error
    if not isinstance(document, dict):
        raise _malformed("it must be an object")
    return document


def _collect_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _malformed("a member of it comes twice")
    return members


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _malformed(why: str) -> ProblemError:
    return ProblemError(ProblemType.MALFORMED_REQUEST, f"The JSON document cannot be read: {why}.")


def _find_schema(name: str, limits: FormLimits) -> Mapping[str, Any]:
    if name in limits.members:
        schema: Mapping[str, Any] = limits.members[name]
        return schema
    if name in limits.files:
        other = "image_url" if name == "image" else "reference_urls"
        hint = f"JSON has no files: name pictures by URL in {other!r}, or send multipart/form-data"
        raise ProblemError(ProblemType.INVALID_PARAMETER, f"{name!r}: {hint}.", parameter=name)
    near = get_close_matches(name, limits.members, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else f"; the members are {', '.join(limits.members)}."
    raise ProblemError(
        ProblemType.UNKNOWN_PARAMETER, f"Unknown member {name[:80]!r}{hint}", parameter=name[:80]
    )


def _read_list(name: str, value: Any, most: int, schema: Mapping[str, Any]) -> tuple[str, ...]:
    whole = schema["items"]["type"] == "integer"
    fit = (lambda one: type(one) is int) if whole else (lambda one: isinstance(one, str) and one.strip())
    if not isinstance(value, list) or not all(map(fit, value)):
        raise _refuse(name, value, f"must be a list of {'whole numbers' if whole else 'texts'}")
    if len(value) > most:
        raise report_surplus(name, most)
    return tuple(str(one).strip() for one in value)


def _as_text(name: str, value: Any, schema: Mapping[str, Any]) -> str:
    """As a field of a form has it."""
    match schema.get("type"):
        case "string" if isinstance(value, str) and (value.strip() or "enum" not in schema):
            return value
        case "boolean" if isinstance(value, bool):
            return "true" if value else "false"
        case "integer" if type(value) is int or (type(value) is float and value.is_integer()):
            return str(int(value))
        case "number" if type(value) in (int, float):
            return repr(value)
        case "array" if isinstance(value, list):
            return json.dumps(value)
    raise _refuse(name, value, f"must be {_WORDS[str(schema.get('type'))]}")


def _refuse(name: str, value: Any, reason: str) -> ProblemError:
    shown = show_value(name, json.dumps(value))
    said = f"{reason}, not {shown}" if shown else reason
    return report_invalid_parameters([], [Fault(name, shown, said)])
