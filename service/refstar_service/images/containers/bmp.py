"""BMP: one fixed header."""

import struct

from refstar_service.images import exif
from refstar_service.images.containers.header import Header
from refstar_service.images.errors import ImageError, RefusalCode

_HEADERS = {12, 40, 52, 56, 64, 108, 124}
_RGB, _RLE8, _RLE4, _BITFIELDS = range(4)
_INCHES_PER_METER = 1 / 0.0254
_RESOLUTION_AT = 38  # pixels per meter, across and down


def read(data: bytes) -> Header:
    pixels_at, size = struct.unpack_from("<II", data, 10)
    if size not in _HEADERS:
        raise _refusal(f"has a header of {size} bytes")
    alpha_mask = 0
    if size == 12:
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
        compression = _RGB
    else:
        width, height, _, bits, compression = struct.unpack_from("<iiHHI", data, 18)
        if compression == _BITFIELDS and size >= 56:
            (alpha_mask,) = struct.unpack_from("<I", data, 66)
    height = abs(height)  # negative: rows run from the top
    if width < 0 or bits not in (1, 4, 8, 16, 24, 32):
        raise _refusal(f"has a damaged header: width {width}, {bits} bits")
    if compression > _BITFIELDS:
        raise _refusal("holds a JPEG or PNG stream, or colors that are not RGB")
    row = (width * bits + 31) // 32 * 4
    last_row = (width * bits + 7) // 8  # some writers leave the last padding out
    rows = row * max(height - 1, 0) + last_row if compression in (_RGB, _BITFIELDS) else 0
    return Header(
        width=width,
        height=height,
        mode="P" if bits <= 8 else "RGBA" if alpha_mask else "RGB",
        bits=min(bits, 8),
        has_alpha=alpha_mask != 0,
        resolution=_resolution(data) if size >= 40 and len(data) >= 46 else None,
        complete=pixels_at + rows <= len(data),
    )


def write(picture: bytes, *, resolution: tuple[float, float]) -> bytes:
    """``picture``, an encoder's file, with this resolution, in pixels an inch."""
    file = bytearray(picture)
    struct.pack_into("<ii", file, _RESOLUTION_AT, *(round(value * _INCHES_PER_METER) for value in resolution))
    return bytes(file)


def _resolution(data: bytes) -> tuple[float, float] | None:
    x, y = struct.unpack_from("<ii", data, _RESOLUTION_AT)
    return exif.sane_resolution(x / _INCHES_PER_METER, y / _INCHES_PER_METER)


def _refusal(what: str) -> ImageError:
    return ImageError(RefusalCode.UNDECODABLE, f"The BMP file {what}, which is not supported.")
