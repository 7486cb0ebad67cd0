"""Files that must be refused, each with the problem type that says why.

Made, not collected: every one is derived from a good file by one change that its name tells. A file is refused by
the gateway, by its header, or (``in_worker``) by the worker, when it is decoded.
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

#: The largest file that the gateway of these tests takes.
MOST_BYTES = 100_000


@dataclass(frozen=True)
class BadFile:
    name: str
    data: bytes
    problem: str
    claim: str | None = None  # the part's Content-Type
    in_worker: bool = False


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
