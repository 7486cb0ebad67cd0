"""EXIF blocks: the orientation, and what of a block is carried into the restored picture."""

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from refstar_service.images import ifd

PREFIX = b"Exif\0\0"
ORIENTATION = 0x0112
_SHOT_AT, _PLACE_AT = 0x8769, 0x8825
_UPRIGHT = 1
_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 0x011A, 0x011B, 0x0128
_PER_INCH = {2: 1.0, 3: 2.54}  # resolution units: inch, centimeter; 1 says nothing
# Of the first directory what describes the shot. The rest is the layout of the file it came from, or private.
_CARRIED = {
    0x010E,  # description
    0x010F,  # make
    0x0110,  # model
    0x0131,  # software
    0x0132,  # date and time
    0x013B,  # artist
    0x4746,  # rating
    0x8298,  # copyright
    *range(0x9C9B, 0x9CA0),  # Windows' title, comment, author, keywords, subject
}
# Of the EXIF directory everything but these.
_LEFT_OUT = {
    0x9101,  # channels and compression of the picture as it was stored
    0x9102,
    0x9214,  # where the subject is, in its pixels
    0x927C,  # maker note: opaque, may hold a place or a face, and breaks when it is moved
    0xA002,  # its size
    0xA003,
    0xA005,  # interoperability directory
    0xA214,  # where the subject is, again
    0xEA1C,  # padding
}
_COLOR_SPACE = 0xA001
_FROM_TEXT = {"Description": 0x010E, "Software": 0x0131, "Author": 0x013B, "Copyright": 0x8298}
_MOST_VALUE = 16_384  # bytes; what is larger is some program's private store
_MOST_BYTES = 60_000  # a JPEG segment holds 65,533
_MOST_PER_INCH = 30_000


@dataclass(frozen=True)
class Directories:
    """What a block holds: of the file, of the shot, and of the place (GPS)."""

    order: str  # byte order of all values, "<" or ">"
    first: Mapping[int, ifd.Entry]
    shot: Mapping[int, ifd.Entry]
    place: Mapping[int, ifd.Entry]

    def written(self, offset: int) -> bytes:
        """All of them as they stand at ``offset`` (even) of a file, the first one first."""
        entries = dict(self.first)
        inner = [(tag, entries_of) for tag, entries_of in self._inner() if entries_of]
        # The pointers do not change the length, so a first writing tells where they point to.
        entries.update({tag: ifd.Entry(ifd.LONG, 1, bytes(4)) for tag, _ in inner})
        at = offset + len(ifd.write(entries, self.order, offset))
        blocks = []
        for tag, directory in inner:
            entries[tag] = ifd.Entry(ifd.LONG, 1, struct.pack(f"{self.order}I", at))
            blocks.append(ifd.write(directory, self.order, at))
            at += len(blocks[-1])
        return b"".join([ifd.write(entries, self.order, offset), *blocks])

    def _inner(self) -> tuple[tuple[int, Mapping[int, ifd.Entry]], ...]:
        return (_SHOT_AT, self.shot), (_PLACE_AT, self.place)


def block(payload: bytes) -> bytes | None:
    """The TIFF block of an EXIF payload, with or without the prefix; None if it is not one."""
    start = len(PREFIX) if payload.startswith(PREFIX) else 0
    found = bytes(payload[start:])
    return found if found.startswith((b"II*\0", b"MM\0*")) else None


def orientation(exif: bytes | None) -> int:
    """1..8; 1 where there is none or it cannot be read."""
    order, entries = _first(exif, {ORIENTATION})
    return orientation_of(entries, order)


def orientation_of(directory: Mapping[int, ifd.Entry], order: str) -> int:
    """The same for a directory that has been read."""
    entry = directory.get(ORIENTATION)
    values = entry.integers(order) if entry else ()
    return values[0] if values and 1 <= values[0] <= 8 else _UPRIGHT


def resolution(exif: bytes | None) -> tuple[float, float] | None:
    """Pixels per inch, horizontal and vertical, of the picture as stored; None if it does not say."""
    order, entries = _first(exif, {_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT})
    unit = entries.get(_RESOLUTION_UNIT)
    per_inch = _PER_INCH.get((unit.integers(order) or (0,))[0] if unit else 2)
    x, y = (_number(entries.get(tag), order) for tag in (_X_RESOLUTION, _Y_RESOLUTION))
    if per_inch is None or x is None or y is None:
        return None
    return sane_resolution(x * per_inch, y * per_inch)


def sane_resolution(x: float, y: float) -> tuple[float, float] | None:
    """Both numbers if they can be a picture's pixels per inch, else None."""
    return (x, y) if all(1 <= value <= _MOST_PER_INCH for value in (x, y)) else None


def read(exif: bytes | None) -> Directories | None:
    """All directories of a block (or of a TIFF file, which is laid out alike), without values that are too long to be
    carried over; None if it has no first one."""
    try:
        layout = ifd.layout(exif) if exif else None
        if exif is None or layout is None:
            return None
        first = ifd.read(exif, layout, layout.first, longest=_MOST_VALUE).entries
    except struct.error:
        return None
    shot, place = (_inner(exif, first.get(tag), layout) for tag in (_SHOT_AT, _PLACE_AT))
    return Directories(layout.order, first, shot, place)


def carry_over(
    exif: bytes | None,
    *,
    resolution: tuple[float, float] | None = None,
    keep_location: bool = False,
    recolored: bool = False,
) -> bytes | None:
    """A new block for the upright picture: orientation 1, no thumbnail, maker note or file layout.

    The GPS directory is in it only with ``keep_location``, the color space not if the picture was
    ``recolored``; ``resolution`` replaces the block's own. None where nothing worth carrying is left, or
    the block is damaged or too large for a JPEG segment.
    """
    found = read(exif)
    if found is None:
        return None
    left_out = _LEFT_OUT | {_COLOR_SPACE} if recolored else _LEFT_OUT
    first = {tag: entry for tag, entry in found.first.items() if tag in _CARRIED}
    kept = Directories(
        found.order,
        first,
        {tag: entry for tag, entry in found.shot.items() if tag not in left_out},
        found.place if keep_location else {},
    )
    if not kept.first and not kept.shot and not kept.place:
        return None
    return _block(kept, {**kept.first, **_resolution_entries(resolution, kept.order)})


def complete_block(
    exif: bytes | None,
    texts: Mapping[str, str],
    resolution: tuple[float, float] | None,
    *,
    oriented: bool = True,
) -> bytes | None:
    """A carried block with what a file type without text or resolution of its own would lose otherwise.

    ``texts`` are PNG's, by keyword. What the block says itself goes first. Without the orientation if it is
    not to be ``oriented``, for types that have another place for it.
    """
    found = read(exif) or Directories("<", {}, {}, {})
    described = {"Description": texts["Title"], **texts} if "Title" in texts else texts
    more = {
        _FROM_TEXT[name]: ifd.Entry(ifd.ASCII, len(value), value)
        for name, text in described.items()
        if name in _FROM_TEXT and len(value := text.encode() + b"\0") <= _MOST_VALUE
    }
    first = {**more, **_resolution_entries(resolution, found.order), **found.first}
    first.pop(ORIENTATION, None)
    if not first and not found.shot and not found.place:
        return None
    return _block(found, first, oriented) or exif


def _block(found: Directories, first: Mapping[int, ifd.Entry], oriented: bool = True) -> bytes | None:
    if oriented:
        first = {**first, ORIENTATION: ifd.Entry.of(found.order, _UPRIGHT)}
    start = {"<": b"II*\0", ">": b"MM\0*"}[found.order] + struct.pack(f"{found.order}I", 8)
    written = start + Directories(found.order, first, found.shot, found.place).written(8)
    return written if len(written) <= _MOST_BYTES else None


def _first(exif: bytes | None, wanted: set[int]) -> tuple[str, Mapping[int, ifd.Entry]]:
    """Byte order and these tags of a block's first directory; none where that cannot be read."""
    try:
        layout = ifd.layout(exif) if exif else None
        if exif is None or layout is None:
            return "<", {}
        found = ifd.read(exif, layout, layout.first, wanted=wanted, longest=_MOST_VALUE)
    except struct.error:
        return "<", {}
    return layout.order, found.entries


def _resolution_entries(resolution: tuple[float, float] | None, order: str) -> dict[int, ifd.Entry]:
    if resolution is None:
        return {}
    entries = {_RESOLUTION_UNIT: ifd.Entry.of(order, 2)}
    for tag, value in zip((_X_RESOLUTION, _Y_RESOLUTION), resolution, strict=True):
        ratio = Fraction(value).limit_denominator(10_000)
        packed = struct.pack(f"{order}II", ratio.numerator, ratio.denominator)
        entries[tag] = ifd.Entry(ifd.RATIONAL, 1, packed)
    return entries


def _number(entry: ifd.Entry | None, order: str) -> float | None:
    if entry is None or entry.type != ifd.RATIONAL or entry.count != 1:
        return None
    numerator, denominator = struct.unpack(f"{order}II", entry.value)
    found = numerator / denominator if denominator else math.nan
    return found if math.isfinite(found) else None


def _inner(exif: bytes, pointer: ifd.Entry | None, layout: ifd.Layout) -> dict[int, ifd.Entry]:
    offsets = pointer.integers(layout.order) if pointer else ()
    if not offsets:
        return {}
    try:
        return ifd.read(exif, layout, offsets[0], longest=_MOST_VALUE).entries
    except struct.error:
        return {}
