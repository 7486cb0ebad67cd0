"""JPEG 2000: the boxes of a JP2 file, and the size marker of the codestream, which may also stand alone."""

import struct
from collections.abc import Iterator

from refstar_service.images import exif
from refstar_service.images.containers.budget import Budget
from refstar_service.images.containers.header import Header
from refstar_service.images.errors import ImageError, RefusalCode

SIGNATURE = b"\0\0\0\x0cjP  \r\n\x87\n"
CODESTREAM = b"\xff\x4f\xff\x51"
_END = b"\xff\xd9"
_XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_EXIF = b"JpgTiffExif->JP2"
_BY_PROFILE, _CMYK = 2, 12  # kinds of color boxes, and of color spaces
_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}  # by components
_INCHES_PER_METER = 1 / 0.0254
_MOST_BOXES = 1000
_MOST_TILES = 4096
_MOST_BITS = 16


def read(data: bytes) -> Header:
    stream, inner = _parts(data)
    width, height, components, bits = _size(data, stream)
    mode = _MODES[components]
    icc: bytes | None = None
    resolution: tuple[float, float] | None = None
    exif_block: bytes | None = None
    packet: bytes | None = None
    complete = True
    for kind, start, end in inner:
        if kind == b"colr" and data[start] == _BY_PROFILE:
            icc = icc or data[start + 3 : end]
        elif kind == b"colr" and data[start] == 1 and struct.unpack_from(">I", data, start + 3)[0] == _CMYK:
            mode = "CMYK"
        elif kind == b"pclr":
            raise _refusal("has a palette")
        elif kind == b"resc" and end - start >= 10:
            resolution = _resolution(data, start)
        elif kind == b"uuid" and data.startswith(_EXIF, start):
            exif_block = exif_block or exif.block(data[start + 16 : end])
        elif kind == b"uuid" and data.startswith(_XMP, start):
            packet = packet or data[start + 16 : end]
        elif kind == b"jp2c":
            complete = end <= len(data)
    return Header(
        width=width,
        height=height,
        mode=mode,
        bits=bits,
        has_alpha=mode in ("LA", "RGBA"),
        orientation=exif.orientation(exif_block),
        exif=exif_block,
        icc=icc,
        xmp=packet,
        resolution=resolution,
        complete=complete and data.find(_END, stream) > 0,
    )


def plain(data: bytes) -> bytes:
    """Codestream and color space only: neither profile, which decoders would apply, nor metadata."""
    stream, inner = _parts(data)
    boxes = {kind: (start, end) for kind, start, end in reversed(inner)}
    if b"jp2c" not in boxes:
        return data[stream:]
    header = b"".join(
        _box(kind, data[slice(*boxes[kind])])
        for kind in (b"ihdr", b"bpcc", b"colr", b"cdef")
        if kind in boxes and not (kind == b"colr" and data[boxes[kind][0]] == _BY_PROFILE)
    )
    if b"colr" not in boxes or data[boxes[b"colr"][0]] == _BY_PROFILE:
        components = struct.unpack_from(">H", data, boxes[b"ihdr"][0] + 8)[0] if b"ihdr" in boxes else 3
        header += _box(b"colr", b"\1\0\0" + struct.pack(">I", 17 if components < 3 else 16))
    start = SIGNATURE + _box(b"ftyp", b"jp2 \0\0\0\0jp2 ")
    return start + _box(b"jp2h", header) + _box(b"jp2c", data[stream:])


def _parts(data: bytes) -> tuple[int, list[tuple[bytes, int, int]]]:
    """Where the codestream begins, and the boxes, those inside the header's among them."""
    if data.startswith(CODESTREAM):
        return 0, []
    budget = Budget(_MOST_BOXES, "JPEG 2000", "boxes")
    found: list[tuple[bytes, int, int]] = []
    for kind, start, end in _boxes(data, 0, len(data), budget):
        found.append((kind, start, end))
        if kind == b"jp2h":
            # What is in it ends with it, whatever its own size says: boxes may not be read again as parts of others.
            end = min(end, len(data))
            inner = list(_boxes(data, start, end, budget))
            found += inner
            for name, at, until in inner:
                found += _boxes(data, at, min(until, end), budget) if name == b"res " else []
    stream = next((start for kind, start, _ in found if kind == b"jp2c"), -1)
    if stream < 0 or not data.startswith(CODESTREAM, stream):
        raise ImageError(RefusalCode.TRUNCATED, "The JPEG 2000 file ends before its picture begins.")
    return stream, found


def _boxes(data: bytes, at: int, end: int, budget: Budget) -> Iterator[tuple[bytes, int, int]]:
    """(type, start, end) of each box's body; the last one may claim to end after what it is in."""
    while at + 8 <= end:
        budget.spend()
        size, kind = struct.unpack_from(">I4s", data, at)
        start = at + 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, start)
            start += 8
        elif size == 0:
            size = end - at
        if size < start - at:
            raise _refusal("has a damaged box")
        yield kind, start, at + size
        at += size


def _size(data: bytes, stream: int) -> tuple[int, int, int, int]:
    """Width, height, components and bits, by the codestream's SIZ marker (ISO/IEC 15444-1, A.5.1)."""
    right, bottom, left, top, *tiles, components = struct.unpack_from(">8IH", data, stream + 8)
    tile_width, tile_height, tile_left, tile_top = tiles
    if not (
        left < right and top < bottom and tile_width and tile_height and tile_left <= left and tile_top <= top
    ):
        raise _refusal("has a damaged header")
    across, down = -(-(right - tile_left) // tile_width), -(-(bottom - tile_top) // tile_height)
    if across * down > _MOST_TILES:
        raise _refusal(f"has {across * down} tiles; {_MOST_TILES} are supported")
    if components not in _MODES:
        raise _refusal(f"has {components} components; 1 to 4 are supported")
    layouts = [struct.unpack_from(">BBB", data, stream + 42 + 3 * index) for index in range(components)]
    bits = {layout[0] + 1 for layout in layouts}
    if len(bits) > 1 or max(bits) > _MOST_BITS:
        raise _refusal("holds signed values, or components of different or more than 16 bits")
    if any(step not in (1, 2) for layout in layouts for step in layout[1:]):
        raise _refusal("holds components at other than full or half resolution")
    return right - left, bottom - top, components, bits.pop()


def _resolution(data: bytes, start: int) -> tuple[float, float] | None:
    """Of capture: pixels per meter, vertical first, as fractions times powers of ten."""
    down, of_down, across, of_across, down_power, across_power = struct.unpack_from(">HHHHbb", data, start)
    if not of_down or not of_across:
        return None
    x, y = across / of_across * 10.0**across_power, down / of_down * 10.0**down_power
    return exif.sane_resolution(x / _INCHES_PER_METER, y / _INCHES_PER_METER)


def _box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), kind) + body


def _refusal(what: str) -> ImageError:
    return ImageError(RefusalCode.UNDECODABLE, f"The JPEG 2000 file {what}.")
