"""WebP: RIFF chunks."""

import struct
from collections.abc import Iterator

from refstar_service.images import exif
from refstar_service.images.containers.header import Header
from refstar_service.images.errors import ImageError, RefusalCode

MAX_SIDE = 16383
_ALPHA = 0x10  # flag in VP8X
_MOST_CHUNKS = 10_000


def read(data: bytes) -> Header:
    (size,) = struct.unpack_from("<I", data, 4)
    canvas: tuple[int, int] | None = None
    frame: tuple[int, int] | None = None
    has_alpha, frames = False, 0
    exif_block: bytes | None = None
    icc: bytes | None = None
    xmp: bytes | None = None
    for kind, start, end in _chunks(data):
        if kind == b"VP8X":
            has_alpha = bool(data[start] & _ALPHA)
            canvas = 1 + _u24(data, start + 4), 1 + _u24(data, start + 7)
        elif kind == b"VP8 " and frame is None:
            if data[start + 3 : start + 6] != b"\x9d\x01\x2a":
                raise _refusal("has a damaged frame header")
            width, height = struct.unpack_from("<HH", data, start + 6)
            frame = width & 0x3FFF, height & 0x3FFF
        elif kind == b"VP8L" and frame is None:
            mark, packed = struct.unpack_from("<BI", data, start)
            if mark != 0x2F:
                raise _refusal("has a damaged frame header")
            frame = 1 + (packed & 0x3FFF), 1 + (packed >> 14 & 0x3FFF)
            has_alpha = has_alpha or bool(packed >> 28 & 1)
        elif kind == b"ANMF":
            frames += 1
        elif kind == b"ICCP":
            icc = data[start:end]
        elif kind == b"EXIF":
            exif_block = exif.block(data[start:end])
        elif kind == b"XMP ":
            xmp = data[start:end]
    shape = canvas or frame
    if shape is None:
        raise ImageError(RefusalCode.TRUNCATED, "The WebP file ends before its frame header.")
    return Header(
        width=shape[0],
        height=shape[1],
        mode="RGBA" if has_alpha else "RGB",
        has_alpha=has_alpha,
        frames=max(frames, 1),
        orientation=exif.orientation(exif_block),
        exif=exif_block,
        icc=icc,
        xmp=xmp,
        complete=8 + size <= len(data) and (frame is not None or frames > 0),
    )


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """(type, start, end) of each chunk; the last one may end after the file does."""
    position = 12
    for _ in range(_MOST_CHUNKS):
        if position + 8 > len(data):
            return
        kind, length = struct.unpack_from("<4sI", data, position)
        start = position + 8
        yield kind, start, start + length
        position = start + length + (length & 1)
    raise _refusal(f"has more than {_MOST_CHUNKS} chunks")


def _u24(data: bytes, position: int) -> int:
    low, high = struct.unpack_from("<HB", data, position)
    return int(low | high << 16)


def _refusal(what: str) -> ImageError:
    return ImageError(RefusalCode.UNDECODABLE, f"The WebP file {what}.")
