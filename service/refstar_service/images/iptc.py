"""IPTC-IIM captions: records of press photographs, kept by Photoshop and many archives."""

import struct
from collections.abc import Iterator

_MARK = 0x1C
_CHARACTER_SET = (1, 90)
_CAPTIONS = 2  # the record that describes the picture
_MOST_BYTES = 32_000  # it shares a JPEG segment
_MOST_DATASETS = 1000
# Coding of the object, its orientation, audio, previews of the unrestored picture.
_LEFT_OUT = {130, 131, *range(150, 155), *range(200, 203)}
_PLACE = {26, 27, 90, 92, 95, 100, 101}  # content location, city, sublocation, state, country
_EXTENDED = 0x8000


def carry_over(block: bytes | None, *, keep_location: bool = False) -> bytes | None:
    """A new block of the captions and their character set; None where none is left, or too much of it.

    Names of places stay only with ``keep_location``.
    """
    left_out = _LEFT_OUT if keep_location else _LEFT_OUT | _PLACE
    kept = [
        (record, dataset, value)
        for record, dataset, value in _datasets(block or b"")
        if (record, dataset) == _CHARACTER_SET or (record == _CAPTIONS and dataset not in left_out)
    ]
    # Dataset 0 is the record's version: alone it says nothing.
    if not any(record == _CAPTIONS and dataset for record, dataset, _ in kept):
        return None
    written = b"".join(struct.pack(">BBBH", _MARK, r, d, len(value)) + value for r, d, value in kept)
    return written if len(written) <= _MOST_BYTES else None


def _datasets(block: bytes) -> Iterator[tuple[int, int, bytes]]:
    """(record, dataset, value) up to the first that is damaged, or longer than 32,767 bytes."""
    at = 0
    for _ in range(_MOST_DATASETS):
        if at + 5 > len(block):
            return
        mark, record, dataset, length = struct.unpack_from(">BBBH", block, at)
        at += 5
        if mark != _MARK or length & _EXTENDED or at + length > len(block):
            return
        yield record, dataset, block[at : at + length]
        at += length
