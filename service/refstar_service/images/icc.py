"""ICC profiles: what color space one describes, one for primaries, and pixels to sRGB by one."""

import io
import struct

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

from refstar_service.images.colorimetry import Primaries, xyz_of

RGB, GRAY, CMYK = b"RGB ", b"GRAY", b"CMYK"
_HEADER = 128  # bytes
_BAND = 256  # rows
_MOST_BYTES = 4 << 20  # press profiles reach 3 MB
_D50 = np.array([0.9642, 1.0, 0.8249])  # what profiles adapt all colors to
#: Cone responses of XYZ (Lam, 1985), in which white is adapted.
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


def space(profile: bytes | None) -> bytes | None:
    """RGB, GRAY, CMYK or another signature of ICC.1; None where it is no profile that is worth keeping."""
    if profile is None or not _HEADER < len(profile) <= _MOST_BYTES or profile[36:40] != b"acsp":
        return None
    if int.from_bytes(profile[:4]) > len(profile):
        return None
    return profile[16:20]


def with_srgb_curve(primaries: Primaries) -> bytes:
    """A profile (ICC.1:2010, version 4.3) of an RGB space with these primaries and white and the tone curve of sRGB."""
    colorants = xyz_of(primaries)
    white = colorants.sum(1)
    ratio = (_BRADFORD @ _D50) / (_BRADFORD @ white)
    adapting = np.linalg.inv(_BRADFORD) @ np.diag(ratio) @ _BRADFORD
    red, green, blue = (adapting @ colorants).T
    curve = b"para" + struct.pack(">IHH", 0, 3, 0) + _fixed(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
    tags = {
        b"desc": _text("RGB with the curve of sRGB"),
        b"cprt": _text("No copyright, use freely"),
        b"wtpt": b"XYZ " + bytes(4) + _fixed(*_D50),
        b"chad": b"sf32" + bytes(4) + _fixed(*adapting.flat),
        b"rXYZ": b"XYZ " + bytes(4) + _fixed(*red),
        b"gXYZ": b"XYZ " + bytes(4) + _fixed(*green),
        b"bXYZ": b"XYZ " + bytes(4) + _fixed(*blue),
        b"rTRC": curve,
        b"gTRC": curve,
        b"bTRC": curve,
    }
    start = _HEADER + 4 + 12 * len(tags)
    index, bodies = struct.pack(">I", len(tags)), b""
    placed: dict[bytes, int] = {}
    for name, body in tags.items():
        if body not in placed:  # the three curves are one
            placed[body] = start + len(bodies)
            bodies += body + bytes(-len(body) % 4)
        index += name + struct.pack(">II", placed[body], len(body))
    head = struct.pack(">I4xI4s4s4s", start + len(bodies), 0x04300000, b"mntr", RGB, b"XYZ ")
    head += bytes(12) + b"acsp" + bytes(28) + _fixed(*_D50)
    return head.ljust(_HEADER, b"\0") + index + bodies


def _fixed(*values: float) -> bytes:
    return struct.pack(f">{len(values)}i", *(round(float(value) * 65536) for value in values))


def _text(text: str) -> bytes:
    written = text.encode("utf-16-be")
    return b"mluc" + struct.pack(">III4sII", 0, 1, 12, b"enUS", len(written), 28) + written


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
