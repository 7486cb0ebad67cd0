"""The multipart edge, at random: any bytes in any pieces are a form or a refusal; a form comes out as it went in."""

import asyncio
from collections.abc import Sequence
from itertools import pairwise

import pytest
from fastapi import Request
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from refstar_service.gateway.http.problems import ProblemError
from refstar_service.gateway.requests.form import Form, FormLimits, read_form

LIMITS = FormLimits(
    files={"image": 1, "references": 3}, max_file_bytes=200, max_request_bytes=2000, timeout=5.0
)
BOUNDARY = "b0undary"
REFUSALS = {400, 408, 413, 415, 422}

quick = settings(
    max_examples=60, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)

#: What a browser writes raw into a quoted name: no quotes, backslashes, line ends or other controls.
names = st.text(
    st.characters(min_codepoint=32, exclude_characters='"\\\x7f', exclude_categories=["Cs"]), max_size=20
)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=50).filter(
    lambda text: BOUNDARY not in text
)
contents = st.binary(min_size=1, max_size=200).filter(lambda data: BOUNDARY.encode() not in data)
fields = st.dictionaries(names, texts, max_size=5)
files = st.lists(st.tuples(names.filter(bool), contents), max_size=3)
cuts = st.lists(st.integers(0, 1500), max_size=8)


def read(body: bytes, cuts: Sequence[int] = (), content_type: str | None = None) -> Form:
    """The form of a request whose body arrives cut at these places."""
    edges = sorted({0, *(cut for cut in cuts if cut < len(body)), len(body)})
    pieces = [body[start:end] for start, end in pairwise(edges)] or [b""]
    messages = [
        {"type": "http.request", "body": piece, "more_body": number < len(pieces)}
        for number, piece in enumerate(pieces, 1)
    ]

    async def receive() -> dict[str, object]:
        return messages.pop(0)

    kind = content_type if content_type is not None else f"multipart/form-data; boundary={BOUNDARY}"
    scope = {
        "type": "http",
        "method": "POST",
        "headers": [(b"content-type", kind.encode("latin-1", "replace"))],
    }
    return asyncio.run(read_form(Request(scope, receive), LIMITS))  # type: ignore[arg-type]


def written(fields: dict[str, str], files: Sequence[tuple[str, bytes]]) -> bytes:
    body = b""
    for name, value in fields.items():
        body += f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
    for name, data in files:
        head = f'Content-Disposition: form-data; name="references"; filename="{name}"'
        body += f"--{BOUNDARY}\r\n{head}\r\nContent-Type: image/png\r\n\r\n".encode() + data + b"\r\n"
    return body + f"--{BOUNDARY}--\r\n".encode()


def refused(body: bytes, cuts: Sequence[int] = (), content_type: str | None = None) -> bool:
    """Whether it is refused, as a problem of the client's; anything else is raised."""
    try:
        read(body, cuts, content_type)
    except ProblemError as problem:
        if problem.type.status not in REFUSALS:
            raise
        return True
    return False


@quick
@given(fields, files, cuts)
def test_a_form_comes_out_as_it_went_in_however_it_is_cut(
    fields: dict[str, str], files: list[tuple[str, bytes]], cuts: list[int]
) -> None:
    form = read(written(fields, files), cuts)
    assert form.fields == fields
    assert [(upload.name, upload.data) for upload in form.files] == files
    assert {upload.media_type for upload in form.files} <= {"image/png"}


@quick
@given(st.binary(max_size=2500), cuts)
def test_any_bytes_are_a_form_or_refused(body: bytes, cuts: list[int]) -> None:
    refused(body, cuts)
    refused(f"--{BOUNDARY}\r\n".encode() + body, cuts)
    refused(f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="'.encode() + body, cuts)


@quick
@given(fields, files, st.data())
def test_a_damaged_form_is_a_form_or_refused(
    fields: dict[str, str], files: list[tuple[str, bytes]], data: st.DataObject
) -> None:
    body = bytearray(written(fields, files))
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(body) - 1))
        match data.draw(st.sampled_from(["flip", "drop", "double", "insert"])):
            case "flip":
                body[at] ^= data.draw(st.integers(1, 255))
            case "drop":
                del body[at : at + data.draw(st.integers(1, 40))]
            case "double":
                body[at:at] = body[at : at + 40]
            case _:
                body[at:at] = data.draw(st.sampled_from([b"\r\n", b"--", b'"', b"\0", b"\r\n\r\n", b";"]))
        body = body or bytearray(b"-")
    refused(bytes(body), data.draw(cuts))


@quick
@given(fields, files, st.data())
def test_no_beginning_of_a_form_is_taken_for_the_whole(
    fields: dict[str, str], files: list[tuple[str, bytes]], data: st.DataObject
) -> None:
    body = written(fields, files)
    # The line end behind the last boundary may be missing, its dashes may not.
    assert refused(body[: data.draw(st.integers(0, len(body) - 4))])


@quick
@given(st.text(max_size=60))
def test_any_content_type_is_read_or_refused(kind: str) -> None:
    body = written({"faces": "all"}, [])
    refused(body, content_type=kind)
    refused(body, content_type=f"multipart/form-data; boundary={kind}")
    refused(body, content_type=f'multipart/form-data; boundary="{kind}"; {kind}')


@quick
@given(st.integers(0, 400), st.integers(0, 4), cuts)
def test_caps_hold_at_every_size_and_cut(size: int, count: int, cuts: list[int]) -> None:
    body = written({}, [("a.png", bytes(size))] * count)
    too_large = size > LIMITS.max_file_bytes or count > 3 or len(body) > LIMITS.max_request_bytes
    assert refused(body, cuts) == (too_large and count > 0)


@pytest.mark.parametrize("size", [1999, 2000, 2001])
def test_the_cap_of_the_whole_body_is_inclusive(size: int) -> None:
    body = written({}, [])
    padding = b"x" * (size - len(body))  # what comes before the first boundary is not looked at
    assert refused(body + padding) == (size > LIMITS.max_request_bytes)


@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        ("filename*=utf-8''%D1%84%D0%BE%D1%82%D0%BE.png", "фото.png"),
        ("filename=\"_.png\"; filename*=UTF-8'en'%C3%A9.png", "é.png"),
        ("filename*=iso-8859-1''%E9.png", "é.png"),
        ("filename=\"a; filename*=utf-8''b.png\"", "a; filename*=utf-8''b.png"),
        ("filename*=nonsense", ""),
    ],
)
def test_a_file_name_may_be_encoded(parameters: str, name: str) -> None:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="image"; {parameters}\r\n\r\n'
    (upload,) = read(head.encode() + f"data\r\n--{BOUNDARY}--\r\n".encode()).files
    assert (upload.name, upload.data) == (name, b"data")


def test_a_file_field_without_a_file_name_is_told_so_and_a_blank_one_is_none() -> None:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="image"\r\n\r\n'.encode()
    assert not read(head + f"\r\n--{BOUNDARY}--\r\n".encode()).files
    with pytest.raises(ProblemError, match="'image' must be a file"):
        read(head + f"data\r\n--{BOUNDARY}--\r\n".encode())
