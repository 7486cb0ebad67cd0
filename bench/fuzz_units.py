"""Where the units of a picture's file are: segments, chunks, boxes, entries; for fuzz_damage.py."""

from collections.abc import Callable

from refstar_service.images import ImageError
from refstar_service.images.containers import gif

Units = list[tuple[int, int]]


def jpeg_units(data: bytes) -> Units:
    """(start, end) of the segments; the pictures' data follows them."""
    found, at = [], 2
    while at + 4 <= len(data) and data[at] == 0xFF and len(found) < 200:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4])
        found.append((at, end))
        at = end
    return found


def png_units(data: bytes) -> Units:
    found, at = [], 8
    while at + 12 <= len(data) and len(found) < 200:
        found.append((at, at + 12 + int.from_bytes(data[at : at + 4])))
        at = found[-1][1]
    return found


def webp_units(data: bytes) -> Units:
    found, at = [], 12
    while at + 8 <= len(data) and len(found) < 200:
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        found.append((at, at + 8 + size + size % 2))
        at = found[-1][1]
    return found


def tiff_units(data: bytes) -> Units:
    """The directory's entries."""
    order = "little" if data[:2] == b"II" else "big"
    at = int.from_bytes(data[4:8], order)  # type: ignore[arg-type]
    count = int.from_bytes(data[at : at + 2], order)  # type: ignore[arg-type]
    return [(at + 2 + 12 * n, at + 14 + 12 * n) for n in range(min(count, 100))]


def bmp_units(data: bytes) -> Units:
    return [(at, at + 4) for at in (2, 10, 14, 18, 22, 28, 30, 34, 38, 46, 54, 66)]


def avif_units(data: bytes) -> Units:
    """Boxes, and the boxes inside the meta box."""
    found: Units = []

    def walk(at: int, end: int) -> None:
        while at + 8 <= end and len(found) < 200:
            size = int.from_bytes(data[at : at + 4]) or end - at
            found.append((at, at + size))
            kind = data[at + 4 : at + 8]
            if kind in (b"iprp", b"ipco"):
                walk(at + 8, min(at + size, end))
            elif kind in (b"meta", b"iref"):
                walk(at + 12, min(at + size, end))
            elif kind == b"iinf":
                walk(at + 14, min(at + size, end))
            at += max(size, 8)

    walk(0, len(data))
    return found


def jp2_units(data: bytes) -> Units:
    """Boxes, and the markers of the codestream's header."""
    found: Units = []
    at = 0
    while at + 8 <= len(data) and len(found) < 50 and data[at + 4 : at + 8] != b"jp2c":
        found.append((at, at + max(int.from_bytes(data[at : at + 4]), 8)))
        at = found[-1][1]
    at = data.find(b"\xff\x4f\xff\x51") + 2
    while 1 < at + 4 <= len(data) and data[at] == 0xFF and len(found) < 100:
        found.append((at, at + 2 + int.from_bytes(data[at + 2 : at + 4])))
        at = found[-1][1]
    return found


def gif_units(data: bytes) -> Units:
    """Screen and palette, extensions and the picture, as `containers.gif` sees them."""
    try:
        return [(6, 13), *((start, end) for _, start, end in gif._blocks(data))]
    except (IndexError, ImageError):
        return [(6, 13)]


UNITS: dict[str, Callable[[bytes], Units]] = {
    "jpeg": jpeg_units,
    "png": png_units,
    "webp": webp_units,
    "tiff": tiff_units,
    "bmp": bmp_units,
    "avif": avif_units,
    "heic": avif_units,
    "jp2": jp2_units,
    "gif": gif_units,
}
# Where a unit has its length: (offset in it, bytes).
LENGTHS = {
    "jpeg": ((2, 2),),
    "png": ((0, 4),),
    "webp": ((4, 4),),
    "tiff": ((2, 2), (4, 4), (8, 4)),
    "bmp": ((0, 4),),
    "avif": ((0, 4),),
    "heic": ((0, 4),),
    "jp2": ((0, 4), (2, 2)),
    "gif": ((0, 2), (2, 2), (4, 2), (6, 2)),
}
