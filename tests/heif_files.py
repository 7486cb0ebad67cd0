"""HEIF files put together box by box, so that they can be what no encoder writes."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

#: A property of 64 x 64 pixels, as every picture needs one.
SIZE = b"\0\0\0\x14ispe" + struct.pack(">III", 0, 64, 64)


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), kind) + body


def full(kind: bytes, body: bytes, version: int = 0) -> bytes:
    """A box with a version and no flags."""
    return box(kind, bytes((version, 0, 0, 0)) + body)


@dataclass(frozen=True)
class HeifFile:
    """``kind``: of all items, numbered from 1, of which the first is the picture. ``properties``: as they stand in the
    file. ``of_items``: which of them, numbered from 1, each item has; ``associated``: further such boxes.
    ``references``: type, from, to. ``streams``: of each item."""

    kind: bytes
    properties: bytes = SIZE
    of_items: Sequence[Sequence[int]] = ((1,),)
    references: Sequence[tuple[bytes, int, Sequence[int]]] = ()
    streams: Sequence[bytes] = (b"\x12\0",)
    associated: bytes = b""

    def written(self) -> bytes:
        start = len(self._head(0))  # does not change with what it says
        return self._head(start) + box(b"mdat", b"".join(self.streams))

    def _head(self, start: int) -> bytes:
        items = range(1, len(self.streams) + 1)
        named = b"".join(full(b"infe", struct.pack(">HH4s", item, 0, self.kind) + b"\0", 2) for item in items)
        at, places = start + 8, b""
        for item, stream in zip(items, self.streams, strict=True):
            places += struct.pack(">HHHII", item, 0, 1, at, len(stream))
            at += len(stream)
        meta = (
            full(b"hdlr", bytes(20)),
            full(b"pitm", struct.pack(">H", 1)),
            full(b"iinf", struct.pack(">H", len(items)) + named),
            full(b"iloc", b"\x44\0" + struct.pack(">H", len(items)) + places),
            box(b"iprp", box(b"ipco", self.properties) + associations(self.of_items) + self.associated),
            full(b"iref", b"".join(_reference(*one) for one in self.references)),
        )
        brand = {b"av01": b"avif", b"hvc1": b"heic"}[self.kind]
        return box(b"ftyp", brand + bytes(4) + brand + b"mif1") + full(b"meta", b"".join(meta))


def associations(of_items: Sequence[Sequence[int]]) -> bytes:
    """Items from 1, each with the numbers of its properties; with more than 255 of them it comes several times."""
    entries = b""
    count = 0
    for item, of_item in enumerate(of_items, 1):
        for at in range(0, max(len(of_item), 1), 255):
            part = of_item[at : at + 255]
            entries += struct.pack(">HB", item, len(part)) + bytes(part)
            count += 1
    return full(b"ipma", struct.pack(">I", count) + entries)


def _reference(kind: bytes, item: int, to: Sequence[int]) -> bytes:
    return box(kind, struct.pack(f">HH{len(to)}H", item, len(to), *to))
