"""What every container module answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from refstar_service.images.colorimetry import Colorimetry


@dataclass(frozen=True)
class Header:
    """A file's own description of its picture. ``width`` and ``height`` are as stored, before orientation."""

    width: int
    height: int
    mode: str  # "1", "L", "LA", "P", "RGB", "RGBA", "CMYK"
    bits: int = 8  # per channel
    has_alpha: bool = False
    frames: int = 1  # 2 stands for "more than one" where counting them would take a walk through the file
    orientation: int = 1
    exif: bytes | None = None  # TIFF block, without "Exif\0\0"
    icc: bytes | None = None
    color: Colorimetry | None = None  # where that is told in numbers and is not sRGB
    xmp: bytes | None = None
    iptc: bytes | None = None  # IIM datasets, without what they were packed in
    texts: Mapping[str, str] = field(default_factory=dict)  # by PNG's keywords, cleaned
    resolution: tuple[float, float] | None = None  # pixels per inch as stored; EXIF's goes first
    complete: bool = True  # False: the file ends before its picture does
    work: int = 0  # pixels that decoding produces, where they may be more than width x height
