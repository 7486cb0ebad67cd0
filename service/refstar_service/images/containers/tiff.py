"""TIFF and BigTIFF: the directory that is a picture, of 8 or 16 bit integers, compressed as photographs and scans are.

Further directories may be smaller copies of it, or masks. Decoders never see them, nor BigTIFF's wide numbers: they get
the same file with a classic directory of only the layout.
"""

import struct
import zlib

import numpy as np
import numpy.typing as npt

from refstar_service.images import exif, ifd
from refstar_service.images.containers.header import Header
from refstar_service.images.errors import ImageError, RefusalCode

_KIND, _OLD_KIND = _KINDS = 254, 255
_LONGEST_KIND, _KIND_AMONG = 8, 128  # bytes, and entries: they are sorted, and hardly a tag is lower
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_STRIPS, _CHANNELS, _STRIP_BYTES = 273, 277, 279
_TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES = 322, 323, 324, 325
_ROWS_PER_STRIP, _PREDICTOR = 278, 317
_EXTRA, _SAMPLE_FORMAT = 338, 339
_XMP, _IPTC, _ICC = 700, 33723, 34675
# What a decoder needs; rows per strip, planes, predictor, palette, JPEG tables and chroma layout among it.
_NEEDED = {
    *(
        _WIDTH,
        _HEIGHT,
        _BITS,
        _COMPRESSION,
        _PHOTOMETRIC,
        266,
        _STRIPS,
        _CHANNELS,
        278,
        _STRIP_BYTES,
        284,
        317,
        320,
    ),
    *(_TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES, _EXTRA, _SAMPLE_FORMAT, 347, 529, 530, 531, 532),
    *(292, 293),  # variants of fax
}
_READ = _NEEDED | {exif.ORIENTATION, _XMP, _IPTC, _ICC}
# Of the needed ones, what is understood here.
_LAYOUT = {_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _STRIPS, _CHANNELS, _STRIP_BYTES}
_LAYOUT |= {_TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES, _EXTRA, _SAMPLE_FORMAT}
_COMPRESSIONS = {1, 5, 7, 8, 32773, 32946}  # none, LZW, JPEG, deflate, PackBits, deflate by its old number
_FAX = {2, 3, 4}  # modified Huffman, group 3, group 4: one bit a pixel
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR = 0, 1, 2, 3, 5, 6
_MODES = {_WHITE_IS_ZERO: "L", _BLACK_IS_ZERO: "L", _RGB: "RGB", _PALETTE: "P", _CMYK: "CMYK", _YCBCR: "RGB"}
_DEEP = {(_BLACK_IS_ZERO, 1), (_RGB, 3), (_RGB, 4)}  # layouts with 16 bits: color space and channels
_COLORS = {"L": 1, "P": 1, "RGB": 3, "CMYK": 4}
_PREMULTIPLIED, _STRAIGHT = 1, 2
_DEFLATE, _DIFFERENCES = 8, 2  # as they are written
_STRIP = 1 << 18  # bytes, before compression
_REDUCED, _MASK = 1, 4  # bits of a directory's kind
_OLD_REDUCED = 2
_MOST_DIRECTORIES = 64  # looked at; a pyramid has about ten
_MOST_TILE_PIXELS = 1 << 24  # a decoder allocates whole tiles, and the header may claim any size


def read(data: bytes) -> Header:
    layout, pictures = _pictures(data)
    order = layout.order
    first = ifd.read(data, layout, pictures[0], wanted=_READ).entries
    tags = {tag: entry.integers(order) for tag, entry in first.items() if tag in _LAYOUT}
    width, height = _one(tags, _WIDTH), _one(tags, _HEIGHT)
    bits = set(tags.get(_BITS) or (1,))
    channels, photometric = _one(tags, _CHANNELS, 1), _one(tags, _PHOTOMETRIC, _BLACK_IS_ZERO)
    extra = tags.get(_EXTRA, ())
    mode = _MODES.get(photometric)
    if mode is None:
        raise _refusal(f"has color space {photometric}; supported are gray, palette, RGB, YCbCr and CMYK")
    if set(tags.get(_SAMPLE_FORMAT) or (1,)) != {1}:
        raise _refusal(
            "holds floating-point or signed values; supported are unsigned values of 8 and 16 bits"
        )
    deep = bits == {16}
    if not (deep or bits == {8} or (bits <= {1, 2, 4} and mode in ("L", "P"))):
        raise _refusal(f"has {sorted(bits)} bits per channel; supported are 8 and 16")
    if _one(tags, _COMPRESSION, 1) not in (_COMPRESSIONS | _FAX if bits == {1} else _COMPRESSIONS):
        supported = "none, LZW, deflate, PackBits, JPEG, and CCITT fax for 1 bit"
        raise _refusal(f"has an unsupported compression; supported are {supported}")
    alpha = channels > _COLORS[mode] and bool(extra) and extra[0] in (_PREMULTIPLIED, _STRAIGHT)
    if deep and (photometric, channels) not in _DEEP:
        raise _refusal("has 16 bits in an unsupported layout; supported are gray, RGB and RGBA")
    if deep and alpha and extra[0] == _PREMULTIPLIED:
        raise _refusal("has 16 bits and premultiplied alpha; only straight alpha is supported")
    if _one(tags, _TILE_WIDTH, 1) * _one(tags, _TILE_HEIGHT, 1) > _MOST_TILE_PIXELS:
        raise _refusal("claims tiles that are far larger than a picture needs")
    return Header(
        width=width,
        height=height,
        mode="1" if bits == {1} and mode == "L" else mode + "A" * (alpha and mode in ("L", "RGB")),
        bits=max(bits),
        has_alpha=alpha,
        frames=len(pictures),
        orientation=exif.orientation_of(first, order),
        exif=data,  # a TIFF file is laid out as an EXIF block is
        icc=_value(first, _ICC),
        xmp=_value(first, _XMP),
        iptc=_value(first, _IPTC),
        complete=_complete(tags, len(data)),
    )


def write(
    pixels: npt.NDArray[np.uint8],
    alpha: npt.NDArray[np.uint8] | None = None,
    *,
    icc: bytes | None = None,
    exif_block: bytes | None = None,
    packet: bytes | None = None,
    iptc: bytes | None = None,
) -> bytes:
    """Gray [H, W] or RGB [H, W, 3], and its alpha [H, W]; ``packet`` is XMP. The block holds the resolution.

    Strips of deflate over differences to the left neighbor: as PNG is, and as every reader of the last
    twenty years takes it.
    """
    height, width = pixels.shape[:2]
    channels = (1 if pixels.ndim == 2 else 3) + (alpha is not None)
    found = exif.read(exif_block) or exif.Directories("<", {}, {}, {})
    order = found.order
    rows = max(1, _STRIP // (width * channels))
    strips = [_strip(pixels, alpha, slice(top, top + rows), channels) for top in range(0, height, rows)]
    offsets = []
    at = 8
    for strip in strips:
        offsets.append(at)
        at += len(strip) + len(strip) % 2
    layout = {
        _WIDTH: (width,),
        _HEIGHT: (height,),
        _BITS: (8,) * channels,
        _COMPRESSION: (_DEFLATE,),
        _PHOTOMETRIC: (_BLACK_IS_ZERO if pixels.ndim == 2 else _RGB,),
        _STRIPS: tuple(offsets),
        exif.ORIENTATION: (1,),
        _CHANNELS: (channels,),
        _ROWS_PER_STRIP: (rows,),
        _STRIP_BYTES: tuple(map(len, strips)),
        _PREDICTOR: (_DIFFERENCES,),
    }
    if alpha is not None:
        layout[_EXTRA] = (_STRAIGHT,)
    first = {**found.first, **{tag: ifd.Entry.of(order, *values) for tag, values in layout.items()}}
    for tag, kind, value in (
        (_XMP, ifd.BYTE, packet),
        (_IPTC, ifd.UNDEFINED, iptc),
        (_ICC, ifd.UNDEFINED, icc),
    ):
        if value is not None:
            first[tag] = ifd.Entry(kind, len(value), value)
    directory = exif.Directories(order, first, found.shot, found.place).written(at)
    start = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}I", at)
    padded = [part for strip in strips for part in (strip, b"\0" * (len(strip) % 2))]
    return b"".join([start, *padded, directory])


def plain(data: bytes) -> bytes:
    """The same file with a new, single directory of only the layout: decoders never see another tag."""
    layout, (first, *_) = _pictures(data)
    at = len(data) + len(data) % 2
    entries = ifd.read(data, layout, first, wanted=_NEEDED).entries
    start = {"<": b"II*\0", ">": b"MM\0*"}[layout.order] + struct.pack(f"{layout.order}I", at) + data[8:]
    return start.ljust(at, b"\0") + ifd.write(entries, layout.order, at)


def _pictures(data: bytes) -> tuple[ifd.Layout, list[int]]:
    """Where the directories begin that are pictures in their own right, neither a smaller copy nor a mask: one or two,
    of which the second stands for all that follow. Of the others no more is read than what they are."""
    layout = ifd.layout(data)
    if layout is None:
        raise _refusal("has a damaged header")
    pictures: list[int] = []
    offset, seen = layout.first, set[int]()
    while not seen or (offset and offset not in seen and len(seen) < _MOST_DIRECTORIES and len(pictures) < 2):
        seen.add(offset)
        directory = ifd.read(data, layout, offset, wanted=_KINDS, longest=_LONGEST_KIND, among=_KIND_AMONG)
        if not _derived(directory, layout.order):
            pictures.append(offset)
        offset = directory.next
    return layout, pictures or [layout.first]


def _derived(directory: ifd.Directory, order: str) -> bool:
    kind, old = (
        (entry.integers(order) or (0,))[0] if (entry := directory.entries.get(tag)) else 0
        for tag in (_KIND, _OLD_KIND)
    )
    return bool(kind & (_REDUCED | _MASK)) or old == _OLD_REDUCED


def _strip(
    pixels: npt.NDArray[np.uint8], alpha: npt.NDArray[np.uint8] | None, rows: slice, channels: int
) -> bytes:
    planes = pixels[rows]
    if alpha is not None:
        planes = np.dstack((planes, alpha[rows]))
    flat = planes.reshape(len(planes), -1)
    differences = flat.copy()
    np.subtract(flat[:, channels:], flat[:, :-channels], out=differences[:, channels:])
    deflate = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, zlib.Z_RLE)
    return deflate.compress(differences.data) + deflate.flush()


def _value(entries: dict[int, ifd.Entry], tag: int) -> bytes | None:
    entry = entries.get(tag)
    return entry.value if entry else None


def _one(tags: dict[int, tuple[int, ...]], tag: int, default: int | None = None) -> int:
    values = tags.get(tag, () if default is None else (default,))
    if len(values) != 1:
        raise _refusal(f"has a damaged directory: tag {tag} has {len(values)} values")
    return values[0]


def _complete(tags: dict[int, tuple[int, ...]], size: int) -> bool:
    offsets = tags.get(_STRIPS) or tags.get(_TILES) or ()
    sizes = tags.get(_STRIP_BYTES) or tags.get(_TILE_BYTES) or ()
    if not offsets or len(sizes) < len(offsets):
        return False
    if any(offset + length > size for offset, length in zip(offsets, sizes, strict=False)):
        return False
    if sum(sizes) > 2 * size:  # thousands of strips, each of them the whole file: hours of reading
        raise _refusal("has strips that overlap")
    return True


def _refusal(what: str) -> ImageError:
    return ImageError(RefusalCode.UNDECODABLE, f"The TIFF file {what}.")
