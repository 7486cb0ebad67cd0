"""TIFF directories: the structure inside TIFF files and EXIF blocks."""

import struct
from collections.abc import Container, Mapping
from dataclasses import dataclass

import numpy as np

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}  # bytes, by type
_LONG8, _IFD8 = 16, 18  # types of BigTIFF: offsets and lengths
_BIG_SIZES = {**_SIZES, _LONG8: 8, _IFD8: 8}
_INTEGERS = {1: "B", 3: "H", 4: "I"}
BYTE, ASCII, SHORT, LONG, RATIONAL, UNDEFINED = 1, 2, 3, 4, 5, 7
_MOST_ENTRIES = 1024
_MOST_VALUES = 1 << 16  # four planes of one-row strips, 16384 rows


@dataclass(frozen=True)
class Entry:
    """A tag's value, uninterpreted, in the byte order of its block."""

    type: int
    count: int
    value: bytes

    def integers(self, order: str) -> tuple[int, ...]:
        """The value of an integer tag; empty for any other type and for more values than a layout needs."""
        code = _INTEGERS.get(self.type)
        if code is None or self.count > _MOST_VALUES:
            return ()
        return struct.unpack(f"{order}{self.count}{code}", self.value)

    @classmethod
    def of(cls, order: str, *values: int) -> "Entry":
        """One number or several, as SHORT where they fit."""
        kind = SHORT if max(values) < 1 << 16 else LONG
        return cls(kind, len(values), struct.pack(f"{order}{len(values)}{_INTEGERS[kind]}", *values))


@dataclass(frozen=True)
class Directory:
    entries: dict[int, Entry]
    next: int  # offset of the next directory, 0 for none


@dataclass(frozen=True)
class Layout:
    """How directories are written: ``order`` is "<" or ">"; ``big`` ones (BigTIFF) count and point with 8 bytes."""

    order: str
    big: bool
    first: int  # offset of the first directory


def layout(block: bytes) -> Layout | None:
    """From the header of a TIFF or BigTIFF file or of an EXIF block, else None; struct.error if it is cut off."""
    if (order := {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4])) is not None:
        return Layout(order, False, struct.unpack_from(f"{order}I", block, 4)[0])
    if (order := {b"II+\0": "<", b"MM\0+": ">"}.get(block[:4])) is not None:
        return Layout(order, True, struct.unpack_from(f"{order}Q", block, 8)[0])
    return None


def read(
    block: bytes,
    layout: Layout,
    offset: int,
    *,
    wanted: Container[int] = range(1 << 16),
    longest: int | None = None,
    among: int = _MOST_ENTRIES,
) -> Directory:
    """The directory at ``offset``, or of it the ``wanted`` tags with values of at most ``longest`` bytes ``among`` its
    first entries; struct.error if it lies outside the block.

    Left out are also entries of unknown type, those outside the block, and those beyond the block's own size
    in sum: they would share bytes, and a small file must not become many large values. The 8 byte numbers of
    BigTIFF become LONG; what does not fit into that points outside of any file that is taken.
    """
    order, big = layout.order, layout.big
    inline, sizes = (8, _BIG_SIZES) if big else (4, _SIZES)
    count_format, entry_format, offset_format = (
        (f"{order}Q", f"{order}HHQ", f"{order}Q") if big else (f"{order}H", f"{order}HHI", f"{order}I")
    )
    if offset > len(block):  # a number of 64 bits may be more than struct takes
        raise struct.error("the directory lies outside the block")
    (count,) = struct.unpack_from(count_format, block, offset)
    at = offset + struct.calcsize(count_format)
    head = struct.calcsize(entry_format)
    entries: dict[int, Entry] = {}
    left = len(block)
    most = left if longest is None else longest
    for index in range(min(count, among)):
        entry = at + (head + inline) * index
        tag, kind, length = struct.unpack_from(entry_format, block, entry)
        size = sizes.get(kind, 0) * length
        if tag not in wanted or not 0 < size <= most:
            continue
        start = entry + head
        if size > inline:
            (start,) = struct.unpack_from(offset_format, block, start)
        if start + size <= len(block) and size <= left and tag not in entries:
            found = Entry(kind, length, block[start : start + size])
            entries[tag] = _shorten_entry(found, order) if kind in (_LONG8, _IFD8) else found
            left -= size
    (following,) = struct.unpack_from(offset_format, block, at + (head + inline) * min(count, len(block)))
    return Directory(entries, following)


def _shorten_entry(entry: Entry, order: str) -> Entry:
    if entry.count > _MOST_VALUES:
        return entry
    values = np.frombuffer(entry.value, f"{order}u8").clip(max=(1 << 32) - 1)
    return Entry(LONG, entry.count, values.astype(f"{order}u4").tobytes())


def write(entries: Mapping[int, Entry], order: str, offset: int) -> bytes:
    """A directory to be placed at ``offset`` (even), its longer values following it; the last of its file."""
    head = [struct.pack(f"{order}H", len(entries))]
    values: list[bytes] = []
    at = offset + 2 + 12 * len(entries) + 4
    for tag, entry in sorted(entries.items()):
        head.append(struct.pack(f"{order}HHI", tag, entry.type, entry.count))
        if len(entry.value) <= 4:
            head.append(entry.value.ljust(4, b"\0"))
        else:
            head.append(struct.pack(f"{order}I", at))
            values.append(entry.value + b"\0" * (len(entry.value) % 2))
            at += len(values[-1])
    return b"".join([*head, bytes(4), *values])
