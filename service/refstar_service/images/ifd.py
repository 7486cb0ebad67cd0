"""TIFF directories: the structure inside TIFF files and EXIF blocks."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}  # bytes, by type
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


def byte_order(block: bytes) -> str | None:
    """ "<" or ">" for a classic TIFF header, else None."""
    return {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4])


def read(block: bytes, order: str, offset: int) -> Directory:
    """The directory at ``offset``; struct.error if it lies outside the block.

    Left out are entries of unknown type, those outside the block, and those beyond the block's own size
    in sum: they would share bytes, and a small file must not become many large values.
    """
    (count,) = struct.unpack_from(f"{order}H", block, offset)
    entries: dict[int, Entry] = {}
    left = len(block)
    for index in range(min(count, _MOST_ENTRIES)):
        at = offset + 2 + 12 * index
        tag, kind, length = struct.unpack_from(f"{order}HHI", block, at)
        size = _SIZES.get(kind, 0) * length
        start = at + 8
        if size > 4:
            (start,) = struct.unpack_from(f"{order}I", block, start)
        if size and start + size <= len(block) and size <= left and tag not in entries:
            entries[tag] = Entry(kind, length, block[start : start + size])
            left -= size
    (following,) = struct.unpack_from(f"{order}I", block, offset + 2 + 12 * count)
    return Directory(entries, following)


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
