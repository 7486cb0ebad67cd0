"""ICC profiles: what color space one describes, and CMYK to sRGB by one."""

import io

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

RGB, GRAY, CMYK = b"RGB ", b"GRAY", b"CMYK"
_HEADER = 128  # bytes
_BAND = 256  # rows
_MOST_BYTES = 4 << 20  # press profiles reach 3 MB


def space(profile: bytes | None) -> bytes | None:
    """RGB, GRAY, CMYK or another signature of ICC.1; None where it is no profile that is worth keeping."""
    if profile is None or not _HEADER < len(profile) <= _MOST_BYTES or profile[36:40] != b"acsp":
        return None
    if int.from_bytes(profile[:4]) > len(profile):
        return None
    return profile[16:20]


def to_srgb(pixels: npt.NDArray[np.uint8], profile: bytes | None) -> npt.NDArray[np.uint8]:
    """RGB [H, W, 3] or gray [H, W] of the profile's space in sRGB; unchanged without a usable profile."""
    if profile is None:
        return pixels
    mode = "L" if pixels.ndim == 2 else "RGB"
    try:
        transform = ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError):
        return pixels
    converted = np.empty(pixels.shape, np.uint8)
    for top in range(0, len(pixels), _BAND):
        part = slice(top, top + _BAND)
        band = transform.apply(Image.fromarray(np.ascontiguousarray(pixels[part])))
        # A gray profile gives equal channels.
        converted[part] = np.asarray(band) if pixels.ndim == 3 else np.asarray(band)[..., 1]
    return converted


def cmyk_to_rgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """To sRGB by the profile; without a usable one by (1 - C)(1 - K), which is brighter than print."""
    if profile is not None and space(profile) == CMYK:
        try:
            converted = ImageCms.profileToProfile(
                image,
                ImageCms.ImageCmsProfile(io.BytesIO(profile)),
                ImageCms.createProfile("sRGB"),
                renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
                outputMode="RGB",
                flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
            )
        except (ImageCms.PyCMSError, OSError):
            converted = None
        if converted is not None:
            return converted
    return image.convert("RGB")
