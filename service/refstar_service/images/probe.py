"""What a file is, from its header alone: all limits, and all refusals that need no decoding."""

import struct

from refstar_service.images.containers import avif, bmp, gif, heic, jp2, jpeg, png, tiff, webp
from refstar_service.images.containers.header import Header
from refstar_service.images.errors import ImageError, RefusalCode
from refstar_service.images.formats import MEDIA_TYPES, claims_no_image, sniff
from refstar_service.images.picture import ImageInfo, ImageLimits

_READERS = {
    "jpeg": jpeg.read,
    "png": png.read,
    "webp": webp.read,
    "tiff": tiff.read,
    "bmp": bmp.read,
    "avif": avif.read,
    "heic": heic.read,
    "jp2": jp2.read,
    "gif": gif.read,
}
# Alpha, a grid of tiles, a coded size that is rounded up: what honest files need, as a multiple of
# max_pixels.
_MOST_WORK = 3


def probe(data: bytes, limits: ImageLimits, *, claimed_media_type: str | None = None) -> ImageInfo:
    """Read the header and hold it against the limits; raises ImageError. No pixel is decompressed.

    What passes is not sure to decode: damage inside the compressed data shows only there.
    """
    return inspect(data, limits, claimed_media_type)[0]


def inspect(
    data: bytes, limits: ImageLimits, claimed_media_type: str | None = None
) -> tuple[ImageInfo, Header]:
    """`probe`, with what else the header holds."""
    if not data:
        raise ImageError(RefusalCode.EMPTY, "The file is empty.")
    if len(data) > limits.max_bytes:
        raise refuse_bytes(len(data), limits)
    found = sniff(data)
    if claims_no_image(claimed_media_type):
        detail = (
            f"The file is {MEDIA_TYPES[found]}, but its Content-Type says {claimed_media_type}. "
            f"Send it as {MEDIA_TYPES[found]}, or without a Content-Type."
        )
        raise ImageError(RefusalCode.TYPE_MISMATCH, detail)
    try:
        header = _READERS[found](data)
    except (struct.error, IndexError) as error:
        raise ImageError(RefusalCode.TRUNCATED, f"The {found} file ends inside its header.") from error
    _hold(header, limits)
    width, height = header.width, header.height
    if header.orientation >= 5:  # the four that lie on their side
        width, height = height, width
    return ImageInfo(
        format=found,
        media_type=MEDIA_TYPES[found],
        width=width,
        height=height,
        mode=header.mode,
        frames=header.frames,
        orientation=header.orientation,
        has_alpha=header.has_alpha,
        bits=header.bits,
    ), header


def refuse_bytes(size: int, limits: ImageLimits) -> ImageError:
    """What is said of a file of so many bytes, also by those who do not even read it."""
    detail = f"The file has {size} bytes; the limit is {limits.max_bytes} ({limits.names.max_bytes})."
    return ImageError(RefusalCode.TOO_MANY_BYTES, detail)


def _hold(header: Header, limits: ImageLimits) -> None:
    size = f"The picture has {header.width} x {header.height} pixels"
    names = limits.names
    if max(header.width, header.height) > limits.max_side:
        detail = f"{size}; the limit is {limits.max_side} pixels per side ({names.max_side})."
        raise ImageError(RefusalCode.TOO_MANY_PIXELS, detail)
    if header.width * header.height > limits.max_pixels or header.work > _MOST_WORK * limits.max_pixels:
        detail = f"{size}; the limit is {limits.max_pixels} pixels ({names.max_pixels})."
        raise ImageError(RefusalCode.TOO_MANY_PIXELS, detail)
    if min(header.width, header.height) < limits.min_side:
        detail = f"{size}; each side must have at least {limits.min_side} pixels ({names.min_side})."
        raise ImageError(RefusalCode.TOO_SMALL, detail)
    if header.frames > 1:
        raise ImageError(RefusalCode.ANIMATED, "The file has several frames or pages. Send a single picture.")
    if not header.complete:
        raise ImageError(RefusalCode.TRUNCATED, "The file ends before its picture does.")
