"""Files and requests that must be refused, each with the problem type that says why.

Made, not collected: every one is derived from a good file or a good form by one change that its name tells. A file is
refused by the gateway, by its header, or (``in_worker``) by the worker, when it is decoded.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from random import Random

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage.data import astronaut

KINDS = ("png", "jpeg", "webp", "tiff", "bmp", "avif")
BOUNDARY = b"b0undary"
UNKNOWN_ID = "0" * 32

#: The largest file that the gateway of these tests takes.
MOST_BYTES = 100_000


@dataclass(frozen=True)
class BadFile:
    name: str
    data: bytes
    problem: str
    claim: str | None = None  # the part's Content-Type
    in_worker: bool = False


@dataclass(frozen=True)
class BadRequest:
    name: str
    problem: str
    method: str = "GET"
    path: str = "/v1/restorations"
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


def photo(width: int = 72, height: int = 96) -> Image.Image:
    return Image.fromarray(_face()).resize((width, height))


@cache
def _face() -> NDArray[np.uint8]:
    return np.ascontiguousarray(astronaut()[40:232:2, 160:304:2])


def saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    written = io.BytesIO()
    if kind == "avif":
        options["speed"] = 10
    picture.save(written, kind.upper(), **options)  # type: ignore[arg-type]
    return written.getvalue()


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


# ---- files


@cache
def bad_files() -> tuple[BadFile, ...]:
    return tuple(_files())


def _files() -> Iterator[BadFile]:
    yield BadFile("empty", b"", "image-empty")
    yield from _cut()
    yield from _mislabeled()
    yield from _of_other_types()
    yield from _no_pictures()
    yield from _of_wrong_size()
    yield from _of_several_frames()
    yield from _damaged_in_transfer()
    yield from _damaged_inside()


def _variants() -> Iterator[tuple[str, str, bytes]]:
    for kind in KINDS:
        yield kind, kind, saved(photo(), kind)
        yield f"gray {kind}", kind, saved(photo().convert("L"), kind)
    yield "progressive jpeg", "jpeg", saved(photo(), "jpeg", progressive=True)
    yield "lossless webp", "webp", saved(photo(), "webp", lossless=True)
    yield "palette png", "png", saved(photo().quantize(16), "png")
    yield "transparent webp", "webp", saved(photo().convert("RGBA"), "webp")
    yield "deflated tiff", "tiff", saved(photo(), "tiff", compression="tiff_adobe_deflate")


def _cut() -> Iterator[BadFile]:
    for name, kind, data in _variants():
        for part in (0.2, 0.5, 0.8, 0.99):
            left = data[: int(len(data) * part)]
            # Whether a scan is whole only its decoder knows: complete files without an end marker exist.
            told_late = kind == "jpeg" and b"\xff\xda" in left
            yield BadFile(f"{name}, cut at {part}", left, "image-truncated", in_worker=told_late)


def _mislabeled() -> Iterator[BadFile]:
    for kind in KINDS:
        data = saved(photo(), kind)
        for claim in ("text/html", "application/pdf", "video/mp4"):
            yield BadFile(f"{kind} called {claim}", data, "image-type-mismatch", claim=claim)


def _of_other_types() -> Iterator[BadFile]:
    for kind, start in {
        "psd": b"8BPS\0\1",
        "icon": b"\0\0\1\0\1\0",
        "jpeg xl": b"\xff\x0a",
        "jpeg xl box": b"\0\0\0\x0cJXL \r\n\x87\n",
        "qoi": b"qoif",
        "openexr": b"v/1\1",
        "radiance": b"#?RADIANCE\n",
    }.items():
        yield BadFile(kind, start + bytes(64), "image-type-unsupported")


def _no_pictures() -> Iterator[BadFile]:
    png = saved(photo(), "png")
    for name, data in {
        "one zero": b"\0",
        "zeros": bytes(4096),
        "ones": b"\xff" * 4096,
        "noise": Random(1).randbytes(4096),
        "text": b"a line of text, longer than any header of a picture",
        "text in utf-16": "a line of text".encode("utf-16"),
        "starts with BM": b"BMW drivers write text files, too",
        "json": b'{"image": "data:image/png;base64,iVBORw0KGgo="}',
        "data url": b"data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAA",
        "base64 of a png": b"iVBORw0KGgoAAAANSUhEUgAAAEgAAABgCAIAAAA",
        "svg": b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
        "svg with entities": b"<?xml version='1.0'?><!DOCTYPE svg [<!ENTITY a 'aaaaaaaaaa'>]><svg>&a;</svg>",
        "html": b"<!doctype html><script>alert(document.cookie)</script>",
        "php": b"<?php system($_GET['c']); ?>",
        "shell": b"#!/bin/sh\nrm -rf /\n",
        "pdf": b"%PDF-1.7\n1 0 obj\n",
        "postscript": b"%!PS-Adobe-3.0\n(/etc/passwd) (r) file\n",
        "mvg": b"push graphic-context\nfill 'url(https://localhost/x.jpg\"|ls \"-la)'\npop graphic-context",
        "elf": b"\x7fELF\2\1\1" + bytes(57),
        "exe": b"MZ\x90\0\3" + bytes(59),
        "java class": b"\xca\xfe\xba\xbe\0\0\0\x34" + bytes(32),
        "zip": b"PK\3\4\x14\0" + bytes(32),
        "gzip": b"\x1f\x8b\x08\0" + bytes(32),
        "xz": b"\xfd7zXZ\0" + bytes(32),
        "pickle": b"\x80\4\x95\x1e\0\0\0\0\0\0\0\x8c\5posix",
        "sqlite": b"SQLite format 3\0" + bytes(64),
        "mp4": b"\0\0\0\x18ftypisom\0\0\2\0isomiso2" + bytes(32),
        "wave": b"RIFF\x24\0\0\0WAVEfmt " + bytes(32),
        "avi": b"RIFF\x24\0\0\0AVI LIST" + bytes(32),
        "matroska": b"\x1aE\xdf\xa3" + bytes(32),
        "ogg": b"OggS" + bytes(32),
        "mp3": b"ID3\4" + bytes(32),
        "netpbm": b"P6\n2 2\n255\n" + bytes(12),
        "dicom": bytes(128) + b"DICM" + bytes(64),
        "onnx": b"\x08\x0a\x12\x07pytorch",
        "png without its first byte": png[1:],
        "png behind a line": b"\n" + png,
        "half a png signature": png[:4],
        "half a jpeg signature": b"\xff\xd8",
        "riff of nothing": b"RIFF",
        "bitmap of two bytes": b"BM",
        "half a gif signature": b"GIF8",
    }.items():
        yield BadFile(name, data, "not-an-image")


def _of_wrong_size() -> Iterator[BadFile]:
    for kind in KINDS:
        for width, height in ((15, 64), (64, 15), (1, 1)):
            data = saved(photo(width, height), kind)
            yield BadFile(f"{kind} of {width} x {height}", data, "image-too-small")
        data = saved(photo(), kind) + bytes(MOST_BYTES)
        yield BadFile(f"{kind} of too many bytes", data, "image-too-many-bytes")
    for width, height in ((60_000, 60_000), (16_385, 20), (20, 16_385), (2**31 - 1, 2**31 - 1), (8000, 8000)):
        yield BadFile(f"png that claims {width} x {height}", _png_of(width, height), "image-too-many-pixels")
    jpeg = bytearray(saved(photo(), "jpeg"))
    at = jpeg.index(b"\xff\xc0") + 5
    for width, height in ((60_000, 60_000), (65_535, 65_535), (16_385, 96)):
        struct.pack_into(">HH", jpeg, at, height, width)
        yield BadFile(f"jpeg that claims {width} x {height}", bytes(jpeg), "image-too-many-pixels")
    bmp = bytearray(saved(photo(), "bmp"))
    for width, height in ((60_000, 60_000), (-(2**31) + 1, 60_000)):
        struct.pack_into("<ii", bmp, 18, abs(width), height)
        yield BadFile(f"bmp that claims {width} x {height}", bytes(bmp), "image-too-many-pixels")
    webp = bytearray(saved(photo().convert("RGBA"), "webp", exif=b"Exif\0\0" + bytes(8)))
    webp[24:30] = struct.pack("<I", 16_383)[:3] * 2
    yield BadFile("webp that claims 16384 x 16384", bytes(webp), "image-too-many-pixels")
    for width, height in ((0, 0), (0, 64), (64, 0)):
        yield BadFile(f"png that claims {width} x {height}", _png_of(width, height), "image-too-small")


def _of_several_frames() -> Iterator[BadFile]:
    frames = [photo(), photo().rotate(90), photo().rotate(180)]
    for kind in ("png", "webp", "tiff", "avif", "gif"):
        for count in (1, 2):
            data = saved(frames[0], kind, save_all=True, append_images=frames[1 : 1 + count])
            yield BadFile(f"{kind} of {count + 1} frames", data, "image-animated")


def _damaged_in_transfer() -> Iterator[BadFile]:
    png = saved(photo(), "png")
    # What FTP's text mode and a mail program do to a file; the signature of PNG is made to tell.
    yield BadFile("png with its line ends turned", png.replace(b"\r\n", b"\n"), "not-an-image")
    yield BadFile("png with its high bits cut", bytes(byte & 0x7F for byte in png), "not-an-image")
    yield BadFile("png taken for latin-1", png.decode("latin-1").encode(), "not-an-image")
    for kind in KINDS:
        data = saved(photo(), kind)
        yield BadFile(f"{kind} of nothing but its first 12 bytes", data[:12], _at_start(kind))


def _at_start(kind: str) -> str:
    # Twelve bytes of a bitmap are not enough to tell it from a text that begins with BM.
    return "not-an-image" if kind == "bmp" else "image-truncated"


def _damaged_inside() -> Iterator[BadFile]:
    """Whole by their headers: only decoding shows it."""
    png = saved(photo(), "png")
    at = png.index(b"IDAT") + 4
    size = struct.unpack(">I", png[at - 8 : at - 4])[0]
    packed = png[at : at + size]
    yield _inside("png whose pixels are no zlib", _with_pixels(b"\0" * size))
    yield _inside("png whose zlib breaks off", _with_pixels(packed[: size // 2]), "image-truncated")
    yield _inside("png with a flipped bit", _with_pixels(_flipped(packed, size // 2)))
    yield _inside("png with a wrong sum", png[: at + size] + b"\0\0\0\0" + png[at + size + 4 :])
    yield _inside(
        "png with too few rows", _with_pixels(zlib.compress(bytes(10 * (1 + 3 * 72)))), "image-truncated"
    )
    yield _inside("lossless webp of noise", _noisy(saved(photo(), "webp", lossless=True), 26))
    avif = saved(photo(), "avif")
    start = avif.index(b"mdat") + 4
    yield _inside("avif of noise", _noisy(avif, start))
    yield _inside("avif of zeros", avif[:start] + bytes(len(avif) - start))
    tiff = saved(photo(), "tiff", compression="tiff_adobe_deflate")
    place = tiff.index(b"\x78\x9c") if b"\x78\x9c" in tiff else 8
    jp2 = saved(photo(), "jpeg2000")
    yield _inside("jpeg 2000 of noise", _noisy(jp2, jp2.index(b"\xff\x93") + 2))
    gif = saved(photo().quantize(16), "gif")
    at = gif.index(b"\x2c", 61) + 11
    while gif[at] == 255 == gif[at + 256]:
        at += 256
    yield _inside("gif whose pixels break off", gif[:at] + b"\0;", "image-truncated")
    yield _inside("deflated tiff of zeros", tiff[:place] + bytes(200) + tiff[place + 200 :])


def _inside(name: str, data: bytes, problem: str = "image-undecodable") -> BadFile:
    return BadFile(name, data, problem, in_worker=True)


def _flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes((data[at] ^ 0x55,)) + data[at + 1 :]


def _noisy(data: bytes, start: int) -> bytes:
    return data[:start] + Random(2).randbytes(len(data) - start)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png_of(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = _chunk(b"IDAT", zlib.compress(bytes(4096)))
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + pixels + _chunk(b"IEND", b"")


def _with_pixels(packed: bytes) -> bytes:
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", 72, 96, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + _chunk(b"IDAT", packed) + _chunk(b"IEND", b"")


# ---- requests


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
