"""What a file is, from its header alone."""

from refstar_service.images.picture import ImageInfo, ImageLimits


def probe(data: bytes, limits: ImageLimits, *, claimed_media_type: str | None = None) -> ImageInfo:
    """Read the header and hold it against the limits; raises ImageRefused. Nothing is decompressed."""
    raise NotImplementedError
