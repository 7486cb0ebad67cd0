"""EXIF blocks: the orientation, and what of a block is carried into the restored picture."""

import struct

from refstar_service.images import ifd

PREFIX = b"Exif\0\0"
ORIENTATION = 0x0112
_EXIF_DIRECTORY = 0x8769
_UPRIGHT = 1
# Of the first directory what describes the shot. The rest is the layout of the file it came from, or private.
_CARRIED = {
    0x010E,  # description
    0x010F,  # make
    0x0110,  # model
    0x011A,  # resolution, and its unit
    0x011B,
    0x0128,
    0x0131,  # software
    0x0132,  # date and time
    0x013B,  # artist
    0x8298,  # copyright
}
# Of the EXIF directory everything but these.
_LEFT_OUT = {
    0x927C,  # maker note: opaque, may hold a place or a face, and breaks when it is moved
    0xA002,  # size of the picture as it was stored
    0xA003,
    0xA005,  # interoperability directory
}
_MOST_BYTES = 60_000  # a JPEG segment holds 65,533


def block(payload: bytes) -> bytes | None:
    """The TIFF block of an EXIF payload, with or without the prefix; None if it is not one."""
    start = len(PREFIX) if payload.startswith(PREFIX) else 0
    found = bytes(payload[start:])
    return found if ifd.byte_order(found) else None


def orientation(exif: bytes | None) -> int:
    """1..8; 1 where there is none or it cannot be read."""
    try:
        found = _first(exif) if exif else None
    except struct.error:
        return _UPRIGHT
    if found is None:
        return _UPRIGHT
    order, first = found
    return orientation_of(first, order)


def orientation_of(directory: ifd.Directory, order: str) -> int:
    """The same for a directory that has been read."""
    entry = directory.entries.get(ORIENTATION)
    values = entry.integers(order) if entry else ()
    return values[0] if values and 1 <= values[0] <= 8 else _UPRIGHT


def carried(exif: bytes | None) -> bytes | None:
    """A new block for the upright picture: orientation 1, no place, thumbnail, maker note or file layout.

    None where nothing worth carrying is left, or the block is damaged or too large for a JPEG segment.
    """
    try:
        found = _first(exif) if exif else None
        if exif is None or found is None:
            return None
        order, first = found
        kept = {tag: entry for tag, entry in first.entries.items() if tag in _CARRIED}
        inner = _inner(exif, first, order)
    except struct.error:
        return None
    if not kept and not inner:
        return None
    kept[ORIENTATION] = ifd.Entry.of(order, _UPRIGHT)
    header = exif[:4] + struct.pack(f"{order}I", 8)
    if not inner:
        written = header + ifd.write(kept, order, 8)
    else:
        kept[_EXIF_DIRECTORY] = ifd.Entry(ifd.LONG, 1, bytes(4))
        inner_at = 8 + len(ifd.write(kept, order, 8))
        kept[_EXIF_DIRECTORY] = ifd.Entry(ifd.LONG, 1, struct.pack(f"{order}I", inner_at))
        written = header + ifd.write(kept, order, 8) + ifd.write(inner, order, inner_at)
    return written if len(written) <= _MOST_BYTES else None


def _first(exif: bytes) -> tuple[str, ifd.Directory] | None:
    order = ifd.byte_order(exif)
    if order is None:
        return None
    (offset,) = struct.unpack_from(f"{order}I", exif, 4)
    return order, ifd.read(exif, order, offset)


def _inner(exif: bytes, first: ifd.Directory, order: str) -> dict[int, ifd.Entry]:
    pointer = first.entries.get(_EXIF_DIRECTORY)
    offsets = pointer.integers(order) if pointer else ()
    if not offsets:
        return {}
    try:
        inner = ifd.read(exif, order, offsets[0])
    except struct.error:
        return {}
    return {tag: entry for tag, entry in inner.entries.items() if tag not in _LEFT_OUT}
