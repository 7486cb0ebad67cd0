"""GIF stills: blocks."""

import struct
from collections.abc import Iterator

from refstar_service.images import texts
from refstar_service.images.containers.budget import Budget
from refstar_service.images.containers.header import Header
from refstar_service.images.errors import ImageError, RefusalCode

_EXTENSION, _IMAGE, _TRAILER = 0x21, 0x2C, 0x3B
_CONTROL, _COMMENT = 0xF9, 0xFE  # extensions
_TRANSPARENT = 1  # flag of the control
_MOST_BLOCKS = 1000  # a still has a picture and a few extensions
_MOST_PIECES = 1 << 18  # of all blocks; at most 255 bytes each: 60 MB


def read(data: bytes) -> Header:
    width, height = struct.unpack_from("<HH", data, 6)
    frames, alpha = 0, False
    comments: list[bytes] = []
    for kind, start, end in _blocks(data):
        if kind == _IMAGE:
            left, top, across, down = struct.unpack_from("<HHHH", data, start + 1)
            if not frames:  # the first one may be larger than its screen
                width, height = max(width, left + across), max(height, top + down)
            frames += 1
            if frames > 1:  # how many more does not matter
                break
        elif kind == _EXTENSION and data[start + 1] == _CONTROL and not frames:
            alpha = bool(data[start + 3] & _TRANSPARENT)
        elif kind == _EXTENSION and data[start + 1] == _COMMENT and len(comments) < texts.MOST_COMMENTS:
            comments.append(_join_pieces(data, start + 2, end))
    return Header(
        width=width,
        height=height,
        mode="P",
        has_alpha=alpha,
        frames=max(frames, 1),
        texts=texts.first_comment(comments),
        complete=frames > 0,
    )


def plain(data: bytes) -> bytes:
    """Screen, palette and picture, without any extension but the one that says what is transparent."""
    first = 13 + _palette(data[10])
    kept = [data[:first]]
    for kind, start, end in _blocks(data):
        if kind == _IMAGE or (kind == _EXTENSION and data[start + 1] == _CONTROL):
            kept.append(data[start:end])
    return b"".join([*kept, bytes([_TRAILER])])


def _blocks(data: bytes) -> Iterator[tuple[int, int, int]]:
    """(type, start, end) of each whole block, up to the trailer or to where the file breaks off."""
    blocks = Budget(_MOST_BLOCKS, "GIF", "blocks")
    left = _MOST_PIECES
    at = 13 + _palette(data[10])
    while at + 1 < len(data) and data[at] in (_EXTENSION, _IMAGE):
        blocks.spend()
        start = at
        at += 2 if data[at] == _EXTENSION else 11 + _palette(data[at + 9])
        while at < len(data) and data[at] and left:
            at += 1 + data[at]
            left -= 1
        if not left:
            raise ImageError(RefusalCode.UNDECODABLE, f"The GIF file has more than {_MOST_PIECES} pieces.")
        if at >= len(data):
            return
        at += 1
        yield data[start], start, at


def _palette(flags: int) -> int:
    """Bytes of a palette."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _join_pieces(data: bytes, at: int, end: int) -> bytes:
    pieces: list[bytes] = []
    while at < end and data[at] and len(pieces) <= texts.MOST_BYTES // 255 + 1:
        pieces.append(data[at + 1 : at + 1 + data[at]])
        at += 1 + data[at]
    return b"".join(pieces)
