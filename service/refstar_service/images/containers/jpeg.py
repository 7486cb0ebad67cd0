"""JPEG: marker segments, read up to the first scan and written before it."""

import re
import struct
from collections.abc import Iterator

from refstar_service.images import exif, texts
from refstar_service.images.containers.header import Header
from refstar_service.images.errors import ImageError, RefusalCode

_SOI, _EOI, _SOS = 0xD8, 0xD9, 0xDA
_APP0, _APP1, _APP2, _APP13, _APP14, _COM = 0xE0, 0xE1, 0xE2, 0xED, 0xEE, 0xFE
# Kept of it only what decoders take the color space from.
_METADATA = {**dict.fromkeys((*range(_APP0, _APP0 + 16), _COM), b""), _APP0: b"JFIF\0", _APP14: b"Adobe"}
_BARE = {0x01, _SOI, *range(0xD0, 0xD8)}  # markers without a length
_FRAMES = {0xC0, 0xC1, 0xC2}  # baseline, extended, progressive: all with Huffman coding
# Lossless, arithmetic-coded, hierarchical.
_OTHER_FRAMES = {0xC3, *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0)}
_MODES = {1: "L", 3: "RGB", 4: "CMYK"}
_JFIF = b"JFIF\0"
_PER_INCH = {1: 1.0, 2: 2.54}  # units of its resolution: inch, centimeter; 0 is a mere ratio
_ICC = b"ICC_PROFILE\0"
_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_PHOTOSHOP, _RESOURCE, _IPTC = b"Photoshop 3.0\0", b"8BIM", 0x0404
MAX_SIDE = 65_500
MOST_IN_SEGMENT = 65_533
_ENCODERS_HEAD = 1024  # bytes
_MOST_RESOURCES = 1000
# Each scan of a progressive file is a pass over the whole picture: 20 MB hold enough empty ones for hours of
# work. Encoders write about ten.
_MOST_SCANS = 32
_MOST_SEGMENTS = 10_000
_MOST_ZEROS = 2  # bytes that may well be the end of a scan
_NO_PADDING = re.compile(rb"[^\xff]")
_AFTER_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # the next marker; restarts belong to the scan


def read(data: bytes) -> Header:
    frame: tuple[int, int, int, int] | None = None
    exif_block: bytes | None = None
    icc_parts: dict[int, bytes] = {}
    resources: list[bytes] = []
    xmp: bytes | None = None
    comments: list[bytes] = []
    resolution: tuple[float, float] | None = None
    scan = 0
    for marker, start, end in _segments(data):
        body = data[start + 4 : end]
        if marker in _FRAMES and frame is None:
            frame = struct.unpack_from(">BHHB", body)
        elif marker in _OTHER_FRAMES:
            raise _refusal("is lossless, arithmetic-coded or hierarchical, which is not supported")
        elif marker == _APP1 and body.startswith(exif.PREFIX):
            exif_block = exif_block or exif.block(body)
        elif marker == _APP1 and body.startswith(_XMP):
            xmp = xmp or body[len(_XMP) :]
        elif marker == _APP0 and body.startswith(_JFIF) and len(body) >= 12:
            resolution = resolution or _resolution(*struct.unpack_from(">BHH", body, 7))
        elif marker == _APP13 and body.startswith(_PHOTOSHOP):
            resources.append(body[len(_PHOTOSHOP) :])
        elif marker == _COM and len(comments) < texts.MOST_COMMENTS:
            comments.append(body)
        elif marker == _APP2 and body.startswith(_ICC) and len(body) > len(_ICC) + 2:
            icc_parts[body[len(_ICC)]] = body[len(_ICC) + 2 :]
        elif marker == _SOS:
            scan = start
    if frame is None:
        raise _refusal("has no frame header before its first scan")
    bits, height, width, channels = frame
    if bits != 8 or channels not in _MODES or height == 0:
        layout = f"has {bits} bits, {channels} channels and {height} rows"
        raise _refusal(f"{layout}; supported are 8 bits and 1, 3 or 4 channels")
    return Header(
        width=width,
        height=height,
        mode=_MODES[channels],
        orientation=exif.orientation(exif_block),
        exif=exif_block,
        icc=b"".join(icc_parts[number] for number in sorted(icc_parts)) or None,
        xmp=xmp,
        iptc=_captions(b"".join(resources)),
        texts=texts.first_comment(comments),
        resolution=resolution,
        # Without an end marker only a decoder can tell whether anything is missing.
        complete=bool(data[scan:].rstrip(b"\0")),
    )


def plain(data: bytes) -> bytes:
    """Without EXIF, profiles, comments and the index of further pictures (iPhone and stereo files: MPO).

    Refuses what would take hours to decode; that takes a walk through the whole file, too slow for `read`.
    """
    kept = [b"\xff\xd8"]
    for marker, start, end in _segments(data):
        if marker == _SOS:
            if data.count(b"\xff\xda", start) > _MOST_SCANS:
                raise _refusal(f"has more than {_MOST_SCANS} scans")
            kept.append(data[start:])
        elif marker not in _METADATA or data[start + 4 : start + 9] == _METADATA[marker]:
            kept.append(data[start:end])
    return b"".join(kept)


def write(
    picture: bytes | memoryview,
    *,
    icc: bytes | None = None,
    exif_block: bytes | None = None,
    xmp: bytes | None = None,
    iptc: bytes | None = None,
    comment: str | None = None,
    resolution: tuple[float, float] | None = None,
) -> bytes:
    """``picture``, an encoder's file, with these in place of all metadata of its own; too long ones left out."""
    unit, per_inch = (1, resolution) if resolution else (0, (1.0, 1.0))
    x, y = (min(max(round(value), 1), 0xFFFF) for value in per_inch)
    parts = [(_APP0, _JFIF + struct.pack(">HBHHBB", 0x0102, unit, x, y, 0, 0))]
    if exif_block is not None:
        parts.append((_APP1, exif.PREFIX + exif_block))
    if xmp is not None:
        parts.append((_APP1, _XMP + xmp))
    if iptc is not None:
        parts.append((_APP13, _PHOTOSHOP + _resource(_IPTC, iptc)))
    if icc is not None:
        size = MOST_IN_SEGMENT - len(_ICC) - 2
        pieces = [icc[at : at + size] for at in range(0, len(icc), size)]
        if len(pieces) <= 255:
            parts += [(_APP2, _ICC + bytes((n, len(pieces))) + piece) for n, piece in enumerate(pieces, 1)]
    if comment:
        parts.append((_COM, comment.encode()))
    segments = [
        struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body
        for marker, body in parts
        if len(body) <= MOST_IN_SEGMENT
    ]
    # Encoders put nothing between their own header and the tables: no more than its first bytes are looked at.
    head = bytes(picture[:_ENCODERS_HEAD])
    layout = next(start for marker, start, _ in _segments(head) if marker not in _METADATA)
    return b"".join([b"\xff\xd8", *segments, memoryview(picture)[layout:]])


def end(data: bytes) -> int:
    """Where the end marker of the (first) picture is, -1 if there is none.

    Its two bytes cannot occur inside a scan; a picture inside the metadata lies before the scan.
    """
    scan = max(start for _, start, _ in _segments(data))
    return data.find(b"\xff\xd9", scan)


def close_data(data: bytes) -> bytes:
    """A file without an end marker with one, put behind its data: zeros after that are a rest of the disk.

    Raises ImageError where its scans do not say every coefficient to its last bit: later ones are missing.
    """
    if not _tells_all(data):
        raise ImageError(RefusalCode.TRUNCATED, "The JPEG file ends before its last scan.")
    kept = data.rstrip(b"\0")
    zeros = len(data) - len(kept)
    if zeros <= _MOST_ZEROS:
        kept = data
    elif kept.endswith(b"\xff"):
        kept += b"\0"  # with it a byte of the scan
    return kept.rstrip(b"\xff") + b"\xff\xd9"  # a lone one is the first half of a marker


def _tells_all(data: bytes) -> bool:
    """Whether the scans of a file, of which the last may break off, cover all components and coefficients."""
    components: bytes = b""
    known: dict[int, set[int]] = {}
    at = 2
    for _ in range(_MOST_SEGMENTS):
        found = _AFTER_SCAN.search(data, at)
        if found is None or found.end() + 2 > len(data):
            break
        marker, start = found[0][1], found.start()
        (length,) = struct.unpack_from(">H", data, start + 2)
        body = data[start + 4 : start + 2 + length]
        if marker in _FRAMES and len(body) > 6:
            components = components or body[6::3]
        elif marker == _SOS and len(body) == 4 + 2 * body[0]:
            first, last, bits = body[-3:]
            for component in body[1:-3:2]:
                known.setdefault(component, set()).update(range(first, last + 1) if not bits & 15 else ())
        at = start + 2 + length
    return all(known.get(component, set()) >= set(range(64)) for component in components)


def _resolution(unit: int, x: int, y: int) -> tuple[float, float] | None:
    per_inch = _PER_INCH.get(unit, 0)
    return exif.sane_resolution(x * per_inch, y * per_inch)


def _resource(number: int, body: bytes) -> bytes:
    return _RESOURCE + struct.pack(">HHI", number, 0, len(body)) + body + b"\0" * (len(body) % 2)


def _captions(resources: bytes) -> bytes | None:
    """The IPTC block among Photoshop's resources: each a number, a name, and bytes, both padded to even."""
    at = 0
    for _ in range(_MOST_RESOURCES):
        if resources[at : at + 4] != _RESOURCE or at + 12 > len(resources):
            return None
        (number,) = struct.unpack_from(">H", resources, at + 4)
        at += 6 + (resources[at + 6] + 2) // 2 * 2
        if at + 4 > len(resources):
            return None
        (length,) = struct.unpack_from(">I", resources, at)
        at += 4
        if number == _IPTC:
            return resources[at : at + length]
        at += length + length % 2
    return None


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """(marker, start, end) of each segment after SOI; the last one is the first start of scan."""
    position = 2
    for _ in range(_MOST_SEGMENTS):
        # Bytes between segments are skipped, as every decoder does; 0xFF may be repeated as padding.
        padding = data.find(b"\xff", position)
        found = _NO_PADDING.search(data, padding) if padding >= 0 else None
        if found is None:
            raise ImageError(RefusalCode.TRUNCATED, "The JPEG file ends before its first scan.")
        marker, start = found[0][0], found.start() - 1
        if marker == 0 or marker in _BARE:
            position = start + 2
            continue
        if marker == _EOI:
            raise _refusal("ends before its first scan")
        (length,) = struct.unpack_from(">H", data, start + 2)
        end = start + 2 + length
        if length < 2:
            raise _refusal("has a damaged segment")
        if end > len(data):
            raise ImageError(RefusalCode.TRUNCATED, "The JPEG file ends inside its header.")
        yield marker, start, end
        if marker == _SOS:
            return
        position = end
    raise _refusal(f"has more than {_MOST_SEGMENTS} segments")


def _refusal(what: str) -> ImageError:
    return ImageError(RefusalCode.UNDECODABLE, f"The JPEG file {what}.")
