"""A decoder's output to 8 bit RGB and alpha, not yet upright."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from refstar_service.images import icc
from refstar_service.images.containers.header import Header

# 65535 is 255 and the steps between are rounded: v / 257, not the upper byte.
_TO_8_BITS = ((np.arange(1 << 16) + 128) // 257).astype(np.uint8)
_BAND = 64  # rows


@dataclass(frozen=True, eq=False)
class Raster:
    """``color`` is [H, W] for gray and [H, W, 3] RGB else; ``alpha`` [H, W] is straight."""

    color: npt.NDArray[np.uint8]
    alpha: npt.NDArray[np.uint8] | None
    profile: bytes | None  # describes `color`


def from_pillow(image: Image.Image, header: Header) -> Raster:
    """Of every mode that the readers let through."""
    if image.mode == "CMYK":
        # The pixels are sRGB then: the press profile says nothing about them.
        return Raster(_read(icc.cmyk_to_rgb(image, header.icc)), None, None)
    if image.mode == "I;16":  # JPEG 2000; of colors Pillow keeps the upper byte only
        return from_channels(np.asarray(image, np.uint16), header)
    # Decoders give gray AVIF with alpha as RGBA, and gray palettes as gray.
    gray = image.mode in ("1", "L", "LA") or header.mode in ("L", "LA")
    if image.mode in ("LA", "RGBA", "RGBa", "PA") or "transparency" in image.info:
        # A palette or one color may carry the transparency; Pillow resolves both.
        every = _read(image.convert("RGBA"))
        color = every[..., 0] if gray else every[..., :3]
        return _told(np.ascontiguousarray(color), np.ascontiguousarray(every[..., 3]), header)
    wanted = "L" if gray else "RGB"
    if image.mode != wanted:  # for the same mode `convert` copies
        image = image.convert(wanted)
    return _told(_read(image), None, header)


def from_deep(pixels: npt.NDArray[np.uint16], header: Header) -> Raster:
    """16 bits by OpenCV: [H, W], [H, W, 3] BGR or [H, W, 4] BGRA, of which the header's mode is content."""
    if pixels.ndim == 2:
        return from_channels(pixels, header)
    blue, green, red, *alpha = cv2.split(pixels)
    planes = [red] if header.mode in ("L", "LA") else [red, green, blue]
    return from_channels(cv2.merge([*planes, *(alpha if header.has_alpha else [])]), header)


def from_channels(values: npt.NDArray[np.uint8] | npt.NDArray[np.uint16], header: Header) -> Raster:
    """[H, W] gray, [H, W, 2] with alpha, [H, W, 3] RGB or [H, W, 4] with alpha, of 8 or 16 bits."""
    planes = cv2.split(values)
    alpha = _8_bits(planes[-1]) if len(planes) in (2, 4) else None
    colors = planes[: len(planes) - (alpha is not None)]
    if header.mode in ("L", "LA"):
        colors = colors[:1]
    table = _TO_8_BITS if header.color is None else header.color.levels(1 << 16)
    if values.dtype == np.uint8:
        return _told(np.asarray(cv2.merge(colors), np.uint8), alpha, header)
    color = np.asarray(cv2.merge([table[plane] for plane in colors]), np.uint8)
    return Raster(color, alpha, _profile(color, header))


def upright(pixels: npt.NDArray[np.uint8], orientation: int) -> npt.NDArray[np.uint8]:
    """[H, W] or [H, W, C] turned from EXIF ``orientation`` (1..8) to 1; contiguous."""
    match orientation:
        case 2:
            turned = cv2.flip(pixels, 1)
        case 3:
            turned = cv2.rotate(pixels, cv2.ROTATE_180)
        case 4:
            turned = cv2.flip(pixels, 0)
        case 5:
            turned = cv2.transpose(pixels)
        case 6:
            turned = cv2.rotate(pixels, cv2.ROTATE_90_CLOCKWISE)
        case 7:
            turned = cv2.rotate(cv2.transpose(pixels), cv2.ROTATE_180)
        case 8:
            turned = cv2.rotate(pixels, cv2.ROTATE_90_COUNTERCLOCKWISE)
        case _:
            turned = pixels
    return np.ascontiguousarray(turned)


def _read(image: Image.Image) -> npt.NDArray[np.uint8]:
    """`np.asarray(image)` in bands that stay in the cache: twice as quick for large pictures."""
    width, height = image.size
    shape = (height, width) if image.mode == "L" else (height, width, len(image.getbands()))
    pixels = np.empty(shape, np.uint8)
    for top in range(0, height, _BAND):
        band = pixels[top : top + _BAND]
        below = top + len(band)
        band[:] = np.frombuffer(image.crop((0, top, width, below)).tobytes(), np.uint8).reshape(band.shape)
    return pixels


def _8_bits(plane: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]) -> npt.NDArray[np.uint8]:
    return np.asarray(plane if plane.dtype == np.uint8 else _TO_8_BITS[plane], np.uint8)


def _told(color: npt.NDArray[np.uint8], alpha: npt.NDArray[np.uint8] | None, header: Header) -> Raster:
    """What 8 bits mean by the header."""
    if header.color is not None and header.color.curved:
        color = np.asarray(cv2.LUT(color, header.color.levels(256)), np.uint8)
    return Raster(color, alpha, _profile(color, header))


def _profile(color: npt.NDArray[np.uint8], header: Header) -> bytes | None:
    """The header's profile or one for its primaries, if it fits the number of channels."""
    gray = color.ndim == 2
    if header.color is not None:
        return icc.with_srgb_curve(header.color.primaries) if header.color.wide and not gray else None
    return header.icc if icc.space(header.icc) == (icc.GRAY if gray else icc.RGB) else None
