"""Bytes to pixels."""

from refstar_service.images.picture import ImageLimits, Picture


def decode(data: bytes, limits: ImageLimits) -> Picture:
    """Decode to upright 8-bit RGB; raises ImageRefused and nothing else, whatever the bytes are."""
    raise NotImplementedError
