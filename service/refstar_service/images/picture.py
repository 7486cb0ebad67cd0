"""The values of this package: limits, what a header says, a decoded picture, encoded bytes."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from refstar_service.images.metadata import Metadata

# Pillow warns above 89,478,485 pixels, and warnings cannot be silenced for one thread only. Limits stay below
# that, so that the check here always speaks first and Pillow's stays in place as the second wall.
MOST_PIXELS = 89_000_000


@dataclass(frozen=True)
class LimitNames:
    """What changes each limit, as whoever reads a refusal knows it: a setting, or an option of a command."""

    max_bytes: str = "max_bytes"
    max_pixels: str = "max_pixels"
    max_side: str = "max_side"
    min_side: str = "min_side"


@dataclass(frozen=True)
class ImageLimits:
    """What is taken. ``max_side`` and ``min_side`` are pixels; both hold for width and for height."""

    max_bytes: int = 20 * 1024 * 1024
    max_pixels: int = 52_000_000  # phones with 50 megapixels make 8192 x 6144 and 8320 x 6240
    max_side: int = 16384
    min_side: int = 16
    names: LimitNames = LimitNames()

    def __post_init__(self) -> None:
        if not 0 < self.max_pixels <= MOST_PIXELS:
            raise ValueError(f"max_pixels must be in 1..{MOST_PIXELS}, not {self.max_pixels}")
        if self.max_bytes < 1:
            raise ValueError(f"max_bytes must be at least 1, not {self.max_bytes}")
        if not 0 < self.min_side <= self.max_side:
            raise ValueError(f"need 0 < min_side <= max_side, not {self.min_side} and {self.max_side}")


@dataclass(frozen=True)
class ImageInfo:
    """What the header says. ``width`` and ``height`` are of the upright picture (after EXIF orientation)."""

    format: str  # a key of `formats.MEDIA_TYPES`
    media_type: str
    width: int
    height: int
    mode: str  # as stored: "1", "L", "LA", "P", "RGB", "RGBA", "CMYK"
    frames: int  # always 1: more are refused
    orientation: int  # EXIF 1..8, already accounted for in width and height
    has_alpha: bool
    bits: int  # per channel, as stored


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded picture, upright. The arrays belong to the picture: copy before writing into them."""

    pixels: npt.NDArray[np.uint8]  # [H, W, 3] RGB; three equal channels if grayscale
    alpha: npt.NDArray[np.uint8] | None  # [H, W], straight (not premultiplied)
    info: ImageInfo
    grayscale: bool  # the source was gray: `encode` writes gray again
    icc_profile: bytes | None  # describes `pixels`; None means sRGB
    metadata: Metadata = field(default_factory=Metadata)  # without any place
    located: Metadata = field(default_factory=Metadata)  # the same with it, for those who ask for it

    @property
    def exif(self) -> bytes | None:
        """The carried EXIF block without place."""
        return self.metadata.exif


@dataclass(frozen=True, eq=False)
class IndexedPicture:
    """A picture of at most 256 colors."""

    indices: npt.NDArray[np.uint8]  # [H, W]
    palette: npt.NDArray[np.uint8]  # [n, 3] RGB


@dataclass(frozen=True)
class EncodedPicture:
    """A file's bytes and what they are."""

    data: bytes
    media_type: str
