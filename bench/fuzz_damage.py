"""Damages files of pictures: what fuzz.py decodes."""

import struct
import zlib
from random import Random

from fuzz_units import LENGTHS, UNITS, png_units

NUMBERS = (0, 1, 2, 3, 4, 7, 8, 12, 127, 128, 255, 256, 4095, 32767, 32768, 65535, 1 << 24, 2**31 - 1, 2**31)


def mutated(kind: str, corpus: list[bytes], chance: Random) -> bytes:
    """One damaged file: changed bits and bytes, cuts, units doubled, lengths changed, two files spliced."""
    data = bytearray(chance.choice(corpus))
    if kind == "png" and chance.random() < 0.3:
        _rows(data, chance)
        return bytes(data)
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        if len(data) > 32:
            chance.choice((_bits, _bytes, _cut, _hole, _repeat, _units, _units, _lengths, _lengths, _splice))(
                kind, data, corpus, chance
            )
    if kind == "png" and chance.random() < 0.8:
        _sums(data)
    if kind == "webp" and chance.random() < 0.6:
        data[4:8] = struct.pack("<I", max(len(data) - 8, 0))
    return bytes(data)


def _place(data: bytearray, chance: Random) -> int:
    """Half of them near the start, where the headers are."""
    return chance.randrange(len(data) if chance.random() < 0.5 else min(len(data), 800))


def _bits(kind: str, data: bytearray, corpus: list[bytes], chance: Random) -> None:
    for _ in range(chance.choice((1, 2, 8, 32))):
        data[_place(data, chance)] ^= 1 << chance.randrange(8)


def _bytes(kind: str, data: bytearray, corpus: list[bytes], chance: Random) -> None:
    for _ in range(chance.choice((1, 2, 8))):
        data[_place(data, chance)] = chance.choice((0, 1, 127, 128, 255, chance.randrange(256)))


def _cut(kind: str, data: bytearray, corpus: list[bytes], chance: Random) -> None:
    del data[chance.randrange(len(data)) :]
    if chance.random() < 0.3:  # and closed again
        data += {"jpeg": b"\xff\xd9", "png": b"\0\0\0\0IEND\xaeB`\x82"}.get(
            kind, bytes(chance.randrange(2000))
        )


def _hole(kind: str, data: bytearray, corpus: list[bytes], chance: Random) -> None:
    start = _place(data, chance)
    del data[start : start + chance.choice((1, 2, 4, 20, 500))]


def _repeat(kind: str, data: bytearray, corpus: list[bytes], chance: Random) -> None:
    start, to = _place(data, chance), _place(data, chance)
    data[to:to] = data[start : start + chance.choice((1, 4, 12, 64, 1000))] * chance.choice((1, 2, 50))


def _units(kind: str, data: bytearray, corpus: list[bytes], chance: Random) -> None:
    """Chunks, segments, boxes or entries doubled, removed, exchanged, taken from another file, or damaged inside."""
    found = UNITS[kind](bytes(data))
    if not found:
        return
    start, end = chance.choice(found)
    unit = bytes(data[start:end])
    match chance.randrange(5):
        case 0:
            to, _ = chance.choice(found)
            data[to:to] = unit * chance.choice((1, 1, 2, 100))
        case 1:
            del data[start:end]
        case 2:
            other = chance.choice(corpus)
            first, last = chance.choice(UNITS[kind](other))
            data[start:end] = other[first:last]
        case 3:
            to, until = chance.choice(found)
            data[start:end], data[to:until] = data[to:until], unit
        case _:
            if kind == "png":  # only what the chunk holds: its length is another one's business
                start, end = start + 8, end - 4
            for _ in range(chance.choice((1, 4, 16))):
                at = chance.randrange(start, max(min(end, len(data)), start + 1))
                if at < len(data):
                    data[at] = chance.choice((0, 255, ord("<"), ord('"'), chance.randrange(256)))


def _lengths(kind: str, data: bytearray, corpus: list[bytes], chance: Random) -> None:
    found = UNITS[kind](bytes(data))
    if found and chance.random() < 0.7:
        start, _ = chance.choice(found)
        offset, size = chance.choice(LENGTHS[kind])
        at = start + offset
    else:
        at, size = _place(data, chance), chance.choice((1, 2, 3, 4))
    order = "little" if kind in ("webp", "bmp") or (kind == "tiff" and data[:2] == b"II") else "big"
    old = int.from_bytes(data[at : at + size], order)  # type: ignore[arg-type]
    new = chance.choice((*NUMBERS, old + 1, old - 1, old * 2, len(data), len(data) - at, 2**32 - 1))
    data[at : at + size] = (new % 256**size).to_bytes(size, order)  # type: ignore[arg-type]


def _splice(kind: str, data: bytearray, corpus: list[bytes], chance: Random) -> None:
    other = chance.choice(corpus)
    data[_place(data, chance) :] = other[_place(bytearray(other), chance) :]


def _rows(data: bytearray, chance: Random) -> None:
    """Damage what is compressed: rows and their filters."""
    bodies = [(start, end) for start, end in png_units(bytes(data)) if data[start + 4 : start + 8] == b"IDAT"]
    try:
        rows = bytearray(zlib.decompress(b"".join(data[start + 8 : end - 4] for start, end in bodies)))
    except zlib.error:
        return
    if not bodies:
        return
    for _ in range(chance.choice((1, 16, 256)) if rows else 0):
        rows[chance.randrange(len(rows))] = chance.randrange(256)
    if chance.random() < 0.3:
        del rows[chance.randrange(len(rows) + 1) :]
    for start, end in reversed(bodies[1:]):
        del data[start:end]
    start, end = bodies[0]
    body = zlib.compress(bytes(rows))
    data[start:end] = (
        struct.pack(">I", len(body)) + b"IDAT" + body + struct.pack(">I", zlib.crc32(b"IDAT" + body))
    )


def _sums(data: bytearray) -> None:
    """Make the checksums right again, so that the damage reaches what comes after them."""
    for start, end in png_units(bytes(data)):
        if end <= len(data):
            data[end - 4 : end] = struct.pack(">I", zlib.crc32(data[start + 4 : end - 4]))
