"""Pixels to bytes."""

import io

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from refstar_service.images import exif, icc
from refstar_service.images.containers import png
from refstar_service.images.formats import MEDIA_TYPES, OUTPUT_FORMATS
from refstar_service.images.picture import Encoded, Picture

_FULL_CHROMA_FROM = 90  # JPEG quality: below it color is stored at half resolution, as cameras do
_WHITE = 255


def encode(
    pixels: npt.NDArray[np.uint8],
    *,
    format: str,  # noqa: A002  the word of the API
    quality: int = 95,
    like: Picture | None = None,
) -> Encoded:
    """Encode RGB [H, W, 3] or gray [H, W] uint8 as "png", "jpeg" or "webp".

    Of ``like`` are kept: gray (the result is one channel if it was), the ICC profile, the carried EXIF
    block, and the alpha plane, scaled if ``pixels`` is of another size; jpeg has no alpha, there the
    picture is laid on white. ``quality`` 1..100 is for jpeg (from 90 on with full color resolution) and
    webp (100 is lossless); png is always lossless. Raises ValueError on a wrong argument.
    """
    if format not in OUTPUT_FORMATS:
        raise ValueError(f"format must be one of {', '.join(OUTPUT_FORMATS)}, not {format!r}")
    if not 1 <= quality <= 100:
        raise ValueError(f"quality must be in 1..100, not {quality}")
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or pixels.shape[2:] not in ((), (3,)):
        raise ValueError(f"pixels must be uint8 [H, W] or [H, W, 3], not {pixels.dtype} {list(pixels.shape)}")
    if like is not None and like.grayscale and pixels.ndim == 3:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    alpha = _alpha(pixels, like)
    profile = _profile(pixels, like)
    block = like.exif if like is not None else None
    if format == "png":
        planes = pixels if pixels.ndim == 3 else pixels[..., None]
        planes = planes if alpha is None else np.dstack((planes, alpha))
        data = png.write(np.ascontiguousarray(planes), profile, block)
    elif format == "jpeg":
        data = _jpeg(pixels if alpha is None else _on_white(pixels, alpha), quality, profile, block)
    else:
        data = _webp(pixels, alpha, quality, profile, block)
    return Encoded(data, MEDIA_TYPES[format])


def _jpeg(pixels: npt.NDArray[np.uint8], quality: int, profile: bytes | None, block: bytes | None) -> bytes:
    written = io.BytesIO()
    Image.fromarray(pixels).save(
        written,
        "JPEG",
        quality=quality,
        subsampling="4:4:4" if quality >= _FULL_CHROMA_FROM else "4:2:0",
        icc_profile=profile,
        exif=exif.PREFIX + block if block else b"",
    )
    return written.getvalue()


def _webp(
    pixels: npt.NDArray[np.uint8],
    alpha: npt.NDArray[np.uint8] | None,
    quality: int,
    profile: bytes | None,
    block: bytes | None,
) -> bytes:
    color = cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB) if pixels.ndim == 2 else pixels
    written = io.BytesIO()
    Image.fromarray(color if alpha is None else np.dstack((color, alpha))).save(
        written,
        "WEBP",
        quality=quality,
        lossless=quality == 100,
        exact=True,  # colors under transparent pixels too
        method=2,  # half the time of the default for 2 % more bytes at the same quality
        icc_profile=profile if icc.space(profile) == icc.RGB else b"",  # WebP has no gray
        exif=exif.PREFIX + block if block else b"",
    )
    return written.getvalue()


def _alpha(pixels: npt.NDArray[np.uint8], like: Picture | None) -> npt.NDArray[np.uint8] | None:
    if like is None or like.alpha is None or like.alpha.shape == pixels.shape[:2]:
        return None if like is None else like.alpha
    height, width = pixels.shape[:2]
    smaller = height * width < like.alpha.size
    method = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    scaled: npt.NDArray[np.uint8] = cv2.resize(like.alpha, (width, height), interpolation=method)
    return scaled


def _profile(pixels: npt.NDArray[np.uint8], like: Picture | None) -> bytes | None:
    """The picture's profile, unless it describes another number of channels than is written."""
    profile = like.icc_profile if like is not None else None
    return profile if icc.space(profile) == (icc.GRAY if pixels.ndim == 2 else icc.RGB) else None


def _on_white(pixels: npt.NDArray[np.uint8], alpha: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    weight = alpha if pixels.ndim == 2 else alpha[..., None]
    above = pixels.astype(np.uint16) * weight + _WHITE * (255 - weight.astype(np.uint16))
    return ((above + 127) // 255).astype(np.uint8)
