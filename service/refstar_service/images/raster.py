"""A decoder's output to 8 bit RGB and alpha, not yet upright."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from refstar_service.images import icc

# 65535 is 255 and the steps between are rounded: v / 257, not the upper byte.
_TO_8_BITS = ((np.arange(1 << 16) + 128) // 257).astype(np.uint8)
_BAND = 64  # rows


@dataclass(frozen=True, eq=False)
class Raster:
    """``color`` is [H, W] for gray and [H, W, 3] RGB else; ``alpha`` [H, W] is straight."""

    color: npt.NDArray[np.uint8]
    alpha: npt.NDArray[np.uint8] | None
    profile: bytes | None  # describes `color`


def from_pillow(image: Image.Image, mode: str, profile: bytes | None) -> Raster:
    """8 bits or fewer per channel, of every ``mode`` that the readers let through."""
    if image.mode == "CMYK":
        # The pixels are sRGB then: the press profile says nothing about them.
        return Raster(_read(icc.cmyk_to_rgb(image, profile)), None, None)
    # Decoders give gray AVIF with alpha as RGBA, and gray palettes as gray.
    gray = image.mode in ("1", "L", "LA") or mode in ("L", "LA")
    if image.mode in ("LA", "RGBA", "RGBa", "PA") or "transparency" in image.info:
        # A palette or one color may carry the transparency; Pillow resolves both.
        every = _read(image.convert("RGBA"))
        color = every[..., 0] if gray else every[..., :3]
        return _fitted(np.ascontiguousarray(color), np.ascontiguousarray(every[..., 3]), profile)
    wanted = "L" if gray else "RGB"
    if image.mode != wanted:  # for the same mode `convert` copies
        image = image.convert(wanted)
    return _fitted(_read(image), None, profile)


def from_deep(pixels: npt.NDArray[np.uint16], mode: str, profile: bytes | None) -> Raster:
    """16 bits: [H, W], [H, W, 3] BGR or [H, W, 4] BGRA, of which ``mode`` (L, LA, RGB, RGBA) is content."""
    every = _TO_8_BITS[pixels]
    if every.ndim == 2:
        return _fitted(every, None, profile)
    color = (
        np.ascontiguousarray(every[..., 0])
        if mode in ("L", "LA")
        else cv2.cvtColor(every[..., :3], cv2.COLOR_BGR2RGB)
    )
    alpha = np.ascontiguousarray(every[..., 3]) if mode in ("LA", "RGBA") else None
    return _fitted(color, alpha, profile)


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


def _fitted(
    color: npt.NDArray[np.uint8], alpha: npt.NDArray[np.uint8] | None, profile: bytes | None
) -> Raster:
    fitting = icc.space(profile) == (icc.GRAY if color.ndim == 2 else icc.RGB)
    return Raster(color, alpha, profile if fitting else None)
