"""HEIC, as phones make it: HEIF with pictures coded as HEVC, most of them a grid of tiles.

As in AVIF the streams have sizes of their own. Decoders turn, mirror and crop the picture as the boxes say, so what is
read here is the upright one. EXIF's orientation only repeats that, and is not looked at.
"""

import struct
from collections.abc import Mapping

from refstar_service.images import colorimetry
from refstar_service.images.containers import hevc
from refstar_service.images.containers.header import Header
from refstar_service.images.containers.heif import Items
from refstar_service.images.errors import ImageError, RefusalCode

_CODED = b"hvc1"
_LYING = 5


def read(data: bytes) -> Header:
    items = Items.of(data)
    width, height = _read_crop(items, *items.size(_CODED))
    if items.orientation() >= _LYING:
        width, height = height, width
    configuration = items.configuration(b"hvcC")
    if configuration is None:
        raise ImageError(RefusalCode.UNDECODABLE, "The HEIC file does not say how its picture is coded.")
    bits, gray = hevc.depth(configuration)
    alpha = items.has_alpha()
    streams = items.of_kind(_CODED)
    profile = items.profile()
    return Header(
        width=width,
        height=height,
        mode=("L" if gray else "RGB") + "A" * alpha,
        bits=bits,
        has_alpha=alpha,
        frames=2 if items.moving and data[8:12] in (b"hevc", b"hevx", b"msf1") else 1,
        exif=items.exif(),
        icc=profile,
        color=None if profile else colorimetry.read_numbers(items.color_numbers()),
        xmp=items.packet(),
        complete=items.whole and all(stream is not None for stream in streams.values()),
        work=_count_work(items, streams),
    )


def plain(data: bytes) -> bytes:
    """The same file with its EXIF and XMP items renamed, so that the decoder passes them over."""
    return Items.of(data).without_metadata()


def _count_work(items: Items, streams: Mapping[int, bytes | None]) -> int:
    """Pixels that decoding all of them produces. A configuration, which all tiles share, is read once."""
    coded = hevc.Streams()
    known: dict[tuple[int, int], hevc.Configuration] = {}  # by its place in the file
    work = 0
    for item, stream in streams.items():
        if stream is not None:
            place = items.properties(item).get(b"hvcC", (0, 0))
            if place not in known:
                known[place] = coded.configuration(items.data[slice(*place)])
            work += coded.coded_pixels(known[place], stream)
    return work


def _read_crop(items: Items, width: int, height: int) -> tuple[int, int]:
    """What `clap` leaves: a part of whole pixels. Others are for films."""
    start, end = items.properties(items.meta.primary).get(b"clap", (0, 0))
    if end - start < 16:
        return width, height
    across, of_across, down, of_down = struct.unpack_from(">4I", items.data, start)
    if not of_across or not of_down or across % of_across or down % of_down:
        raise ImageError(RefusalCode.UNDECODABLE, "The HEIC file cuts its picture between pixels.")
    return min(across // of_across, width), min(down // of_down, height)
