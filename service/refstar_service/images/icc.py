"""ICC profiles: what color space one describes, and CMYK to sRGB by one."""

import io

from PIL import Image, ImageCms

RGB, GRAY, CMYK = b"RGB ", b"GRAY", b"CMYK"
_HEADER = 128  # bytes
_MOST_BYTES = 4 << 20  # press profiles reach 3 MB


def space(profile: bytes | None) -> bytes | None:
    """RGB, GRAY, CMYK or another signature of ICC.1; None where it is no profile that is worth keeping."""
    if profile is None or not _HEADER < len(profile) <= _MOST_BYTES or profile[36:40] != b"acsp":
        return None
    if int.from_bytes(profile[:4]) > len(profile):
        return None
    return profile[16:20]


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
