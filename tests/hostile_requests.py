"""Requests that must be refused, each with the problem type that says why.

Made, not collected: every one is derived from a good form by one change that its name tells.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from hostile_files import MOST_BYTES, photo, saved

BOUNDARY = b"b0undary"
UNKNOWN_ID = "0" * 32


@dataclass(frozen=True)
class BadRequest:
    name: str
    problem: str
    method: str = "GET"
    path: str = "/v1/restorations"
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


def form(*parts: bytes, end: bytes = b"--" + BOUNDARY + b"--\r\n") -> bytes:
    return b"".join(b"--" + BOUNDARY + b"\r\n" + part + b"\r\n" for part in parts) + end


def field(name: str, value: str) -> bytes:
    return f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}'.encode()


def file_part(name: str, data: bytes, claim: str | None = None, file_name: str = "face.png") -> bytes:
    kind = f"Content-Type: {claim}\r\n" if claim else ""
    return (
        f'Content-Disposition: form-data; name="{name}"; filename="{file_name}"\r\n{kind}\r\n'.encode() + data
    )


JSON = (("Content-Type", "application/json"),)
FORM = (("Content-Type", f"multipart/form-data; boundary={BOUNDARY.decode()}"),)


@cache
def bad_requests() -> tuple[BadRequest, ...]:
    return tuple(_requests())


def _requests() -> Iterator[BadRequest]:
    yield from _forms()
    yield from _content_types()
    yield from _documents()
    yield from _knobs()
    yield from _addresses()
    yield from _lists()
    yield from _people()


def _post(name: str, problem: str, *parts: bytes, picture: bool = True, **rest: bytes) -> BadRequest:
    face = (file_part("image", saved(photo(64, 64), "png")),) if picture else ()
    return BadRequest(name, problem, "POST", headers=FORM, body=form(*face, *parts, **rest))


def _forms() -> Iterator[BadRequest]:
    face = file_part("image", saved(photo(64, 64), "png"))
    whole = form(face, field("faces", "aligned"))
    for name, body in {
        "no body": b"",
        "no boundary": b"no boundary at all",
        "another boundary": whole.replace(BOUNDARY, b"other"),
        "a bare boundary": b"--" + BOUNDARY,
        "a boundary without line end": b"--" + BOUNDARY + b"Content-Disposition: form-data",
        "no last boundary": form(face, end=b""),
        "cut in the file": whole[: len(whole) // 2],
        "cut in a header": whole[:30],
        "cut before the last dashes": whole[:-4],
        "lines that end in LF only": whole.replace(b"\r\n", b"\n"),
        "a part without headers": form(b"\r\nface"),
        "a part without disposition": form(b"Content-Type: image/png\r\n\r\nface"),
        "a part without a name": form(b"Content-Disposition: form-data\r\n\r\nface"),
        "a header without colon": form(b"Content-Disposition form-data\r\n\r\nface"),
        "a header with spaces in its name": form(b"Content Disposition: form-data\r\n\r\nface"),
        "a header with zeros": form(b"Content-\0Disposition: form-data\r\n\r\nface"),
        "a header of 100 kB": form(b"X-Long: " + b"x" * 100_000 + b"\r\n\r\nface"),
        "a hundred headers in a part": form(b"X-Many: 1\r\n" * 100 + face),
        "nested multipart": form(b"Content-Type: multipart/mixed; boundary=inner\r\n\r\n--inner--"),
    }.items():
        yield BadRequest(name, "malformed-request", "POST", headers=FORM, body=body)
    yield _post("a field that never ends", "malformed-request", field("model", "m" * 5000))
    yield _post("a hundred fields", "malformed-request", *(field(f"f{n}", "1") for n in range(100)))
    yield _post("no parts", "missing-image", picture=False)
    yield _post("only knobs", "missing-image", field("faces", "all"), picture=False)
    yield _post("an empty file field", "missing-image", file_part("image", b"", file_name=""), picture=False)
    yield _post("only references", "missing-image", file_part("references", b"x"), picture=False)
    yield _post("a text for a picture", "invalid-parameter", field("image", "@face.png"), picture=False)
    yield _post("texts for references", "invalid-parameter", field("references", "a.png"))
    yield _post("two pictures", "invalid-parameter", file_part("image", b"x"))
    yield _post("nine references", "too-many-references", *(file_part("references", b"x") for _ in range(9)))
    for name in (
        "picture",
        "Image",
        "image[]",
        "file",
        "reference",
        "references[0]",
        "../image",
        "\u00efmage",
        "__proto__",
    ):
        yield _post(f"a file in {name}", "unknown-parameter", file_part(name, b"x"))
    for name in (
        "fidelty",
        "FACES",
        "faces ",
        "seed",
        "steps",
        "webhook",
        "job_id",
        "owner",
        "__class__",
        "model.x",
    ):
        yield _post(f"a field {name!r}", "unknown-parameter", field(name, "1"))
    for name in ("faces", "fidelity", "model"):
        yield _post(f"{name} twice", "invalid-parameter", field(name, "a"), field(name, "a"))
    large = file_part("references", bytes(90_000))
    yield _post("a body over the cap", "request-too-large", *(large for _ in range(5)))
    yield _post("a file over the cap", "image-too-many-bytes", file_part("references", bytes(MOST_BYTES + 1)))


def _documents() -> Iterator[BadRequest]:
    """JSON in the place of a form."""
    good = '"image_url": "https://files.example/face.jpg"'
    for name, problem, body in (
        ("empty", "malformed-request", ""),
        ("no object", "malformed-request", "[1, 2]"),
        ("null", "malformed-request", "null"),
        ("cut", "malformed-request", "{" + good),
        ("with a comma too many", "malformed-request", "{" + good + ",}"),
        ("deep", "malformed-request", '{"boxes": ' + "[" * 100_000 + "]" * 100_000 + "}"),
        ("with half a letter", "malformed-request", "{" + good + r', "name": "\ud800"}'),
        ("with half a letter in a name", "malformed-request", "{" + good + r', "\udfff": 1}'),
        ("with a member twice", "malformed-request", "{" + good + ", " + good + "}"),
        ("with NaN", "malformed-request", "{" + good + ', "fidelity": NaN}'),
        ("with infinity", "malformed-request", "{" + good + ', "fidelity": -Infinity}'),
        (
            "with a number of 5000 digits",
            "malformed-request",
            "{" + good + ', "quality": ' + "9" * 5000 + "}",
        ),
        ("too long", "malformed-request", "{" + good + " " * 300_000 + "}"),
        ("without a picture", "missing-image", "{}"),
        ("with a picture in it", "invalid-parameter", '{"image": "data:image/png;base64,iVBORw0KGgo="}'),
        ("with references in it", "invalid-parameter", "{" + good + ', "references": ["aGk="]}'),
        ("with an unknown member", "unknown-parameter", "{" + good + ', "image_uri": "https://a.example"}'),
        ("with __proto__", "unknown-parameter", "{" + good + ', "__proto__": {}}'),
        ("with a number as text", "invalid-parameter", "{" + good + ', "fidelity": "0.5"}'),
        ("with a number as a switch", "invalid-parameter", "{" + good + ', "upscale": true}'),
        ("with half a pixel", "invalid-parameter", "{" + good + ', "min_face": 24.5}'),
        ("with a large number", "invalid-parameter", "{" + good + ', "fidelity": 1e400}'),
        ("with a switch as text", "invalid-parameter", "{" + good + ', "grain": "true"}'),
        ("with null", "invalid-parameter", "{" + good + ', "model": null}'),
        ("with an object", "invalid-parameter", '{"image_url": {"url": "https://files.example"}}'),
        ("with a list of pictures", "invalid-parameter", '{"image_url": ["https://files.example"]}'),
        ("with one reference", "invalid-parameter", "{" + good + ', "reference_urls": "https://a.example"}'),
        ("with numbers as references", "invalid-parameter", "{" + good + ', "reference_urls": [1]}'),
        ("with an empty reference", "invalid-parameter", "{" + good + ', "reference_urls": [""]}'),
        ("with boxes as text", "invalid-parameter", "{" + good + ', "boxes": "[[1, 2, 30, 40]]"}'),
        ("with no boxes", "invalid-parameter", "{" + good + ', "boxes": []}'),
        ("with an empty choice", "invalid-parameter", "{" + good + ', "faces": ""}'),
        ("with a file", "image-url-refused", '{"image_url": "file:///etc/passwd"}'),
        ("with an inner address", "image-url-refused", '{"image_url": "https://169.254.169.254/"}'),
        ("with an inner output", "output-url-refused", "{" + good + ', "output_url": "https://127.0.0.1/"}'),
    ):
        yield BadRequest(f"JSON {name}", problem, "POST", headers=JSON, body=body.encode())
    utf_16 = ("{" + good + "}").encode("utf-16")
    yield BadRequest("JSON in UTF-16", "malformed-request", "POST", headers=JSON, body=utf_16)


def _content_types() -> Iterator[BadRequest]:
    body = form(file_part("image", saved(photo(64, 64), "png")))
    yield BadRequest("a form as JSON", "malformed-request", "POST", headers=JSON, body=body)
    for kind in (
        "application/json-patch+json",
        "application/x-www-form-urlencoded",
        "application/octet-stream",
        "image/png",
        "text/plain",
        "multipart/mixed; boundary=b0undary",
        "multipart/byteranges; boundary=b0undary",
        "multipart",
        "form-data; boundary=b0undary",
        "*/*",
        ";",
        "\u00e4",
    ):
        headers = (("Content-Type", kind),)
        yield BadRequest(f"type {kind}", "unsupported-media-type", "POST", headers=headers, body=body)
    yield BadRequest("no type", "unsupported-media-type", "POST", body=body)
    for kind in (
        "multipart/form-data",
        "multipart/form-data;",
        "multipart/form-data; boundary",
        "multipart/form-data; boundary=",
        'multipart/form-data; boundary=""',
        "multipart/form-data; border=b0undary",
        "multipart/form-data; boundary=other",
    ):
        headers = (("Content-Type", kind),)
        yield BadRequest(f"type {kind}", "malformed-request", "POST", headers=headers, body=body)


def _knobs() -> Iterator[BadRequest]:
    numbers = ("nan", "inf", "-inf", "1e999", "half", "0,5", "0x1", "1 2", "--1", "\u0665", "1_0.0.0")
    for knob, values in {
        "fidelity": ("-0.1", "1.01", *numbers),
        "reference_strength": ("-1", "2", *numbers),
        "quality": ("0", "101", "90.5", "high", "1e2"),
        "format": ("gif", "JPEG", "heic", "png;", "../png"),
        "faces": ("biggest", "ALL", "0", "all,largest"),
        "min_face": ("15", "513", "-24", "24px"),
        "upscale": ("0", "3", "2.0", "x2", "-1"),
        "reference_face": ("all", "first"),
        "stranger": ("welcome", "USE", "0"),
        "keep_location": ("perhaps", "2"),
        "priority": ("urgent", "-1", "HIGH"),
        "model": ("m" * 101,),
        "boxes": (
            "10,10,20,20",
            "{}",
            "[]",
            "null",
            "[[]]",
            "[" * 3000,
            "[1, 1, 20, 20]",
            "[[1, 1, 20]]",
            "[[1, 1, 20, 20, 20]]",
            '[["1", 1, 20, 20]]',
            "[[1, 1, 20, true]]",
            "[[1, 1, 20, 0]]",
            "[[1, 1, -20, 20]]",
            "[[1, 1, 20, NaN]]",
            "[[1, 1, 1e999, 1]]",
            "[[1000, 1000, 20, 20]]",
            "[[-50, 1, 20, 20]]",
            str([[1, 1, 20, 20]] * 33),
        ),
    }.items():
        for value in values:
            parts = (field(knob, value),)
            yield _post(f"{knob}={value[:40]}", "invalid-parameter", *parts)
    for name in (
        "gfpgan",
        "refstar2",
        "REFSTAR",
        "../refstar",
        "refstar/../ented",
        "\u0000",
        "'; DROP TABLE jobs",
    ):
        yield _post(f"model={name!r}", "unknown-model", field("model", name))
    yield _post("a model that needs a reference", "references-required", field("model", "ented"))
    yield _post("faces=boxes without boxes", "invalid-parameter", field("faces", "boxes"))
    yield _post(
        "boxes with faces=all", "invalid-parameter", field("faces", "all"), field("boxes", "[[1, 1, 20, 20]]")
    )
    wide = (file_part("image", saved(photo(96, 64), "png")), field("faces", "aligned"))
    yield _post("an aligned face that is not square", "not-square", *wide, picture=False)


def _addresses() -> Iterator[BadRequest]:
    for path in (
        "/v2/restorations",
        "/v1",
        "/v1/",
        "/v1/restorations/",
        "/v1/restoration",
        "/V1/restorations",
        "//v1/restorations",
        "/v1/restorations/../../etc/passwd",
        "/v1/restorations%2f",
        f"/v1/restorations/{UNKNOWN_ID}/",
        f"/v1/restorations/{UNKNOWN_ID}/picture",
        f"/v1/restorations/{UNKNOWN_ID}/image/1",
        "/problems/no-such-problem",
        "/wp-login.php",
        "/.env",
        "/.git/config",
        "/admin",
        "/%00",
        "/%ff%fe",
        "/docs/../settings",
    ):
        yield BadRequest(f"address {path}", "not-found", path=path)
    for job_id in (
        UNKNOWN_ID,
        "f" * 32,
        UNKNOWN_ID.upper().replace("0", "A"),
        "0" * 31,
        "0" * 33,
        "1",
        "-1",
        "null",
        "*",
        "%00",
        "%2e%2e",
        "%F0%9F%98%80",
        "0" * 2000,
        "{refstar}:job:1",
        "' OR 1=1 --",
    ):
        for purpose in ("", "/image", "/selection", "/events"):
            path = f"/v1/restorations/{job_id}{purpose}"
            yield BadRequest(f"{purpose or '/'} of {job_id[:40]}", "unknown-restoration", path=path)
        path = f"/v1/restorations/{job_id}/cancel"
        yield BadRequest(f"cancel of {job_id[:40]}", "unknown-restoration", "POST", path=path)
    one = f"/v1/restorations/{UNKNOWN_ID}"
    for method, path in (
        ("PUT", "/v1/restorations"),
        ("PATCH", "/v1/restorations"),
        ("DELETE", "/v1/restorations"),
        ("TRACE", "/v1/restorations"),
        ("BREW", "/v1/restorations"),
        ("POST", one),
        ("PUT", one),
        ("PATCH", one),
        ("GET", f"{one}/cancel"),
        ("DELETE", f"{one}/cancel"),
        ("POST", f"{one}/image"),
        ("DELETE", f"{one}/image"),
        ("POST", f"{one}/selection"),
        ("POST", f"{one}/events"),
        ("POST", "/v1/models"),
        ("DELETE", "/v1/models"),
        ("POST", "/healthz"),
        ("POST", "/readyz"),
        ("POST", "/metrics"),
        ("DELETE", "/problems"),
        ("POST", "/problems/not-found"),
        ("POST", "/openapi.json"),
        ("POST", "/docs"),
        ("PUT", "/"),
    ):
        yield BadRequest(f"{method} {path}", "method-not-allowed", method, path)


def _lists() -> Iterator[BadRequest]:
    for query in (
        "limit=0",
        "limit=-1",
        "limit=101",
        "limit=many",
        "limit=1.5",
        "limit=",
        "status=done",
        "status=QUEUED",
        "status=",
        "cursor=%00",
        "cursor=abc",
        "cursor=%3Cscript%3E",
        "cursor=AAAAAAAAAAAAAAAA",
        "cursor=" + "A" * 201,
    ):
        yield BadRequest(f"list with {query[:40]}", "invalid-parameter", path=f"/v1/restorations?{query}")


def _people() -> Iterator[BadRequest]:
    reference = file_part("references", saved(photo(64, 64), "png"))
    for name, problem, parts in (
        ("nobody in it", "missing-references", (field("name", "Ada"),)),
        ("nine references", "too-many-references", (reference,) * 9),
        ("an image", "unknown-parameter", (reference, file_part("image", saved(photo(64, 64), "png")))),
        ("a knob of restorations", "unknown-parameter", (reference, field("fidelity", "1"))),
        ("a name of 81 letters", "invalid-parameter", (reference, field("name", "x" * 81))),
        ("aligned=2", "invalid-parameter", (reference, field("aligned", "2"))),
        ("a reference that is no file", "invalid-parameter", (field("references", "x"),)),
        ("a reference that is no picture", "not-an-image", (file_part("references", b"x" * 99),)),
        (
            "an aligned landscape",
            "not-square",
            (file_part("references", saved(photo(96, 64), "png")), field("aligned", "true")),
        ),
    ):
        yield BadRequest(f"a person with {name}", problem, "POST", "/v1/people", FORM, form(*parts))
    for person in ("nobody", "0" * 32, "a" * 64, "%00", "..%2e", "*", "%7Bx%7D"):
        yield BadRequest(f"person {person[:20]}", "unknown-person", path=f"/v1/people/{person}")
        yield _post(
            f"a restoration of {person[:20]}",
            "unknown-person",
            field("person", person),
            field("faces", "aligned"),
        )
    for query in ("limit=0", "limit=x", "cursor=%00", "cursor=MQ"):
        yield BadRequest(f"people with {query}", "invalid-parameter", path=f"/v1/people?{query}")
