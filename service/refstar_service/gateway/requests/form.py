"""Reading a multipart form while every cap holds at every byte, so that nothing oversized is ever held.

Parts are kept in memory, not in spool files: the caps bound them, and no face touches the gateway's disk.
A file part is one with a file name; browsers send an empty one for a file field that was left blank. The name may come
as `filename`, or encoded as `filename*` (RFC 5987), as some clients send it for letters beyond ASCII.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar
from urllib.parse import unquote_to_bytes

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from refstar_service.gateway.http.problem_types import ProblemType
from refstar_service.gateway.http.problems import ProblemError

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

MAX_FIELDS = 64
MAX_FIELD_BYTES = 4096
# Bytes; to hash them takes a quarter of a millisecond. Headers that are made to take long keep the loop busy for 50 ms,
# as long as the reader of each type bounds what it does for a whole file.
SCANNED_ON_LOOP = 256 * 1024

_QUOTED = re.compile(rb'"(?:\\.|[^"\\])*"')
_ENCODED_NAME = re.compile(rb";\s*filename\*\s*=\s*([^;\s]*)", re.IGNORECASE)

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class FormLimits:
    """`files` names the file fields, and how often each may come; `lists` the text fields that may come several times.
    `members`: JSON schemas of what a JSON document in the place of a form has. Sizes in bytes, `timeout` in seconds."""

    files: Mapping[str, int]
    max_file_bytes: int
    max_request_bytes: int
    timeout: float
    lists: Mapping[str, int] = field(default_factory=dict)
    members: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Upload:
    """One file of a form. `name` is the client's file name, unchecked; `media_type` its claim, if any."""

    field: str
    name: str
    media_type: str | None
    data: bytes


@dataclass(frozen=True)
class Form:
    """`lists`: the values of text fields that may come several times."""

    fields: Mapping[str, str]
    files: tuple[Upload, ...]
    lists: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def files_of(self, field_name: str) -> tuple[Upload, ...]:
        return tuple(upload for upload in self.files if upload.field == field_name)


async def scan_form(form: Form, act: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
    """What `act`, which goes over all bytes of the form, returns: in a thread if those are many. A few are looked at
    here in less time than a thread takes to begin."""
    if sum(len(upload.data) for upload in form.files) <= SCANNED_ON_LOOP:
        return act(*arguments, **options)
    return await asyncio.to_thread(act, *arguments, **options)


async def read_form(request: Request, limits: FormLimits) -> Form:
    """The form of a request; raises ProblemError for one that is malformed, too large or too slow."""
    kind, parameters = parse_options_header(request.headers.get("content-type"))
    if kind != b"multipart/form-data":
        raise ProblemError(
            ProblemType.UNSUPPORTED_MEDIA_TYPE,
            "The body must be multipart/form-data or application/json, not "
            f"{kind.decode('latin-1') or 'without a Content-Type'}.",
        )
    if not parameters.get(b"boundary"):
        raise ProblemError(ProblemType.MALFORMED_REQUEST, "The Content-Type header has no boundary.")
    _check_declared_length(request.headers.get("content-length"), limits.max_request_bytes)

    form = _FormBuilder(limits)
    try:
        parser = MultipartParser(parameters[b"boundary"], form.callbacks())
        async with asyncio.timeout(limits.timeout):
            async for chunk in _cap(request.stream(), limits.max_request_bytes):
                parser.write(chunk)
    except FormParserError as error:
        raise ProblemError(
            ProblemType.MALFORMED_REQUEST, f"The multipart body cannot be read: {error}."
        ) from error
    except TimeoutError as error:
        raise report_slowness(limits) from error
    return form.finish()


def report_slowness(limits: FormLimits) -> ProblemError:
    return ProblemError(
        ProblemType.UPLOAD_TIMEOUT, f"The body did not arrive within {limits.timeout:g} seconds."
    )


def report_surplus(name: str, limit: int) -> ProblemError:
    """A field that came more often than it may."""
    if name in ("references", "reference_urls"):
        return ProblemError(ProblemType.TOO_MANY_REFERENCES, f"Send at most {limit} references.", limit=limit)
    if limit == 1:
        return ProblemError(
            ProblemType.INVALID_PARAMETER, f"Send {name[:80]!r} only once.", parameter=name[:80]
        )
    detail = f"Send {name[:80]!r} at most {limit} times."
    return ProblemError(ProblemType.INVALID_PARAMETER, detail, parameter=name[:80], limit=limit)


def _check_declared_length(declared: str | None, limit: int) -> None:
    if declared is not None and declared.isdecimal() and int(declared) > limit:
        raise _report_size(limit, f"The body has {int(declared)} bytes.")


async def _cap(stream: AsyncIterator[bytes], limit: int) -> AsyncIterator[bytes]:
    # A chunked body declares no length, and a declared one need not be true.
    read = 0
    async for chunk in stream:
        read += len(chunk)
        if read > limit:
            raise _report_size(limit, "The body is too large.")
        yield chunk


def _report_size(limit: int, what: str) -> ProblemError:
    return ProblemError(
        ProblemType.REQUEST_TOO_LARGE,
        f"{what} At most {limit} are allowed.",
        limit=limit,
        setting="REFSTAR_MAX_REQUEST_BYTES",
    )


@dataclass
class _Part:
    headers: dict[bytes, bytes] = field(default_factory=dict)
    name: str = ""
    file_name: str | None = None
    data: bytearray = field(default_factory=bytearray)


class _FormBuilder:
    """The parser's callbacks. What can be refused is refused as soon as the bytes that show it are there."""

    def __init__(self, limits: FormLimits) -> None:
        self._limits = limits
        self._fields: dict[str, str] = {}
        self._lists: dict[str, list[str]] = {}
        self._files: list[Upload] = []
        self._part = _Part()
        self._header_name = bytearray()
        self._header_value = bytearray()
        self._ended = False

    def callbacks(self) -> "MultipartCallbacks":
        return {
            "on_part_begin": self._begin_part,
            "on_header_field": self._add_header_name,
            "on_header_value": self._add_header_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._end_headers,
            "on_part_data": self._add_part_data,
            "on_part_end": self._end_part,
            "on_end": self._end_form,
        }

    def finish(self) -> Form:
        if not self._ended:
            raise ProblemError(
                ProblemType.MALFORMED_REQUEST, "The multipart body ends before its last boundary."
            )
        lists = {name: tuple(values) for name, values in self._lists.items()}
        return Form(self._fields, tuple(self._files), lists)

    def _begin_part(self) -> None:
        self._part = _Part()

    def _add_header_name(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _add_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _end_header(self) -> None:
        self._part.headers[bytes(self._header_name).lower()] = bytes(self._header_value)
        self._header_name.clear()
        self._header_value.clear()

    def _end_headers(self) -> None:
        disposition = self._part.headers.get(b"content-disposition", b"")
        _, options = parse_options_header(disposition)
        if b"name" not in options:
            raise ProblemError(ProblemType.MALFORMED_REQUEST, "A part of the form has no name.")
        self._part.name = _decode_text(options[b"name"])
        self._part.file_name = _decode_file_name(disposition, options)
        if self._part.file_name is not None:
            self._check_file_field()
        elif len(self._fields) >= MAX_FIELDS:
            raise ProblemError(ProblemType.MALFORMED_REQUEST, f"The form has more than {MAX_FIELDS} fields.")

    def _check_file_field(self) -> None:
        name = self._part.name
        if name not in self._limits.files:
            raise ProblemError(
                ProblemType.UNKNOWN_PARAMETER,
                f"Unknown file field {name[:80]!r}; send files in {' or '.join(map(repr, self._limits.files))}.",
                parameter=name[:80],
            )
        allowed = self._limits.files[name]
        if sum(upload.field == name for upload in self._files) < allowed:
            return
        raise report_surplus(name, allowed)

    def _add_part_data(self, data: bytes, start: int, end: int) -> None:
        part = self._part
        size = len(part.data) + end - start
        if part.file_name is None and part.name in self._limits.files:
            raise ProblemError(
                ProblemType.INVALID_PARAMETER,
                f"{part.name!r} must be a file, not text: give the part a file name, as "
                f"`curl -F {part.name}=@photo.jpg` does (note the @).",
                parameter=part.name,
            )
        if part.file_name is None and size > MAX_FIELD_BYTES:
            raise ProblemError(
                ProblemType.MALFORMED_REQUEST,
                f"The field {part.name[:80]!r} is longer than {MAX_FIELD_BYTES} bytes.",
            )
        if part.file_name is not None and size > self._limits.max_file_bytes:
            raise ProblemError(
                ProblemType.IMAGE_TOO_MANY_BYTES,
                f"A file in {part.name!r} is larger than {self._limits.max_file_bytes} bytes.",
                parameter=part.name,
                limit=self._limits.max_file_bytes,
            )
        part.data += data[start:end]

    def _end_part(self) -> None:
        part = self._part
        if part.file_name is not None:
            if not part.file_name and not part.data:
                return
            claim, _ = parse_options_header(part.headers.get(b"content-type"))
            upload = Upload(part.name, part.file_name, claim.decode("latin-1") or None, bytes(part.data))
            self._files.append(upload)
        elif part.name in self._limits.lists:
            if text := _decode_text(bytes(part.data)).strip():
                values = self._lists.setdefault(part.name, [])
                if len(values) >= self._limits.lists[part.name]:
                    raise report_surplus(part.name, self._limits.lists[part.name])
                values.append(text)
        elif part.name in self._fields:
            raise report_surplus(part.name, 1)
        else:
            self._fields[part.name] = _decode_text(bytes(part.data))

    def _end_form(self) -> None:
        self._ended = True


def _decode_file_name(disposition: bytes, options: Mapping[bytes, bytes]) -> str | None:
    """The file name of a part, None for one without. An encoded one goes before a plain one (RFC 6266)."""
    encoded = _ENCODED_NAME.search(_QUOTED.sub(b'""', disposition))
    if encoded is None:
        return _decode_text(options[b"filename"]) if b"filename" in options else None
    charset, _, rest = encoded[1].partition(b"'")
    _, _, name = rest.partition(b"'")  # after the language
    # RFC 5987 knows two charsets. What is no such value at all still marks a file.
    raw = unquote_to_bytes(name)
    return raw.decode("latin-1") if charset.lower() == b"iso-8859-1" else _decode_text(raw)


def _decode_text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")
