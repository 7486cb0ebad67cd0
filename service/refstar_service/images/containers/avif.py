"""AVIF: HEIF with pictures coded as AV1.

The size in a box and the size inside the AV1 stream need not agree: decoders scale the second to the
first. So the stream's own sequence headers are read as well, and counted as the work that decoding is.
"""

from refstar_service.images import colorimetry
from refstar_service.images.containers import av1
from refstar_service.images.containers.header import Header
from refstar_service.images.containers.heif import Items

_CODED = b"av01"


def read(data: bytes) -> Header:
    items = Items.of(data)
    width, height = items.size(_CODED)
    configuration = items.configuration(b"av1C")
    flags = configuration[2] if configuration else 0
    alpha, gray = items.has_alpha(), bool(flags & 0x10)
    streams, coded = items.of_kind(_CODED).values(), av1.Streams()
    profile = items.profile()
    return Header(
        width=width,
        height=height,
        mode=("L" if gray else "RGB") + "A" * alpha,
        bits=(12 if flags & 0x20 else 10) if flags & 0x40 else 8,
        has_alpha=alpha,
        # A file may hold a sequence beside its still; which of the two is meant, its first brand says.
        frames=2 if items.moving and data[8:12] == b"avis" else 1,
        orientation=items.orientation(),
        exif=items.exif(),
        icc=profile,
        color=None if profile else colorimetry.read_numbers(items.color_numbers()),
        xmp=items.packet(),
        complete=items.whole and all(stream is not None for stream in streams),
        work=sum(coded.coded_pixels(stream) for stream in streams if stream is not None),
    )


def plain(data: bytes) -> bytes:
    """The same file with its EXIF and XMP items renamed, so that decoders pass them over."""
    return Items.of(data).without_metadata()
