"""What a picture carries besides its pixels, cleaned for the restored one."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from refstar_service.images import exif, iptc, xmp
from refstar_service.images.containers.header import Header

_LYING = 5  # the first of the four orientations that exchange width and height


@dataclass(frozen=True)
class Metadata:
    """Of the upright picture; every part can be written as it is."""

    exif: bytes | None = None  # TIFF block without "Exif\0\0"; orientation 1, no thumbnail, no maker note
    xmp: bytes | None = None  # a packet in UTF-8
    iptc: bytes | None = None  # IIM datasets
    texts: Mapping[str, str] = field(default_factory=dict)  # by PNG's keywords
    resolution: tuple[float, float] | None = None  # pixels per inch, horizontal and vertical


def carry_over(header: Header, *, keep_location: bool) -> Metadata:
    """From a file's header. Without ``keep_location`` no coordinates and no names of places are in it."""
    resolution = exif.resolution(header.exif) or header.resolution
    if resolution is not None and header.orientation >= _LYING:
        resolution = resolution[1], resolution[0]
    return Metadata(
        exif=exif.carry_over(
            header.exif,
            resolution=resolution,
            keep_location=keep_location,
            recolored=header.mode == "CMYK",
        ),
        xmp=xmp.carry_over(header.xmp, keep_location=keep_location, turned=header.orientation > 1),
        iptc=iptc.carry_over(header.iptc, keep_location=keep_location),
        texts=header.texts,
        resolution=resolution,
    )
