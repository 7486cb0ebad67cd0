"""BMP: one fixed header."""

import io
import struct

import numpy as np
import numpy.typing as npt

from refstar_service.images import exif
from refstar_service.images.containers.header import Header
from refstar_service.images.refusal import ImageRefused, RefusalCode

_HEADERS = {12, 40, 52, 56, 64, 108, 124}
_RGB, _RLE8, _RLE4, _BITFIELDS = range(4)
_INCHES_PER_METER = 1 / 0.0254
_BAND = 64  # rows


def read(data: bytes) -> Header:
    pixels_at, size = struct.unpack_from("<II", data, 10)
    if size not in _HEADERS:
        raise _refused(f"has a header of {size} bytes")
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
        raise _refused(f"has a damaged header: width {width}, {bits} bits")
    if compression > _BITFIELDS:
        raise _refused("holds a JPEG or PNG stream, or colors that are not RGB")
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


def write(
    pixels: npt.NDArray[np.uint8],
    alpha: npt.NDArray[np.uint8] | None = None,
    *,
    resolution: tuple[float, float] | None = None,
) -> bytes:
    """Gray [H, W] without alpha, or RGB [H, W, 3], and its alpha [H, W]. Uncompressed, from the bottom up.

    Alpha goes into a version 4 header, as browsers and Photoshop read it; without it the header is the
    oldest that has a resolution.
    """
    height, width = pixels.shape[:2]
    channels = 1 if pixels.ndim == 2 else 3 if alpha is None else 4
    size = 40 if alpha is None else 108
    palette = np.repeat(np.arange(256, dtype=np.uint8), 4).reshape(256, 4)
    palette[:, 3] = 0
    colors = palette.tobytes() if channels == 1 else b""
    row = (width * channels + 3) // 4 * 4
    start = 14 + size + len(colors)
    x, y = (round(value * _INCHES_PER_METER) for value in resolution or (0, 0))
    compression = _RGB if alpha is None else _BITFIELDS
    head = struct.pack("<2sIII", b"BM", start + row * height, 0, start)
    layout = 1, 8 * channels, compression, row * height, x, y, 0, 0
    head += struct.pack("<IiiHHIIiiII", size, width, height, *layout)
    if alpha is not None:
        masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
        head += (masks + b"BGRs").ljust(size - 40, b"\0")  # the color space's name, backwards
    written = io.BytesIO()
    written.write(head + colors)
    for below in range(height, 0, -_BAND):
        part = slice(max(below - _BAND, 0), below)
        planes = pixels[part] if channels == 1 else pixels[part, :, ::-1]
        if alpha is not None:
            planes = np.dstack((planes, alpha[part]))
        rows = np.zeros((len(planes), row), np.uint8)
        rows[:, : width * channels] = planes[::-1].reshape(len(planes), -1)
        written.write(rows.data)
    return written.getvalue()


def _resolution(data: bytes) -> tuple[float, float] | None:
    x, y = struct.unpack_from("<ii", data, 38)
    return exif.sane_resolution(x / _INCHES_PER_METER, y / _INCHES_PER_METER)


def _refused(what: str) -> ImageRefused:
    return ImageRefused(RefusalCode.UNDECODABLE, f"The BMP file {what}, which is not supported.")
