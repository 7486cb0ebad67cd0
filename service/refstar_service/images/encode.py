"""Pixels to bytes."""

import io
from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from refstar_service.images import exif, icc
from refstar_service.images.containers import bmp, jpeg, png, tiff
from refstar_service.images.formats import MEDIA_TYPES, OUTPUT_FORMATS
from refstar_service.images.metadata import Metadata
from refstar_service.images.picture import EncodedPicture, IndexedPicture, Picture
from refstar_service.images.texts import COMMENT

Pixels = npt.NDArray[np.uint8]

_FULL_CHROMA_FROM = 90  # quality: below it color is stored at half resolution, as cameras do
_WHITE = 255
_BAND = 64  # rows
# 8 takes half as long again for 1 % fewer bytes, 6 takes five times as long for 2 %.
_AVIF_SPEED = 9
_AVIF_THREADS = 2


def encode(
    pixels: Pixels,
    *,
    format: str,  # noqa: A002  the word of the API
    quality: int = 95,
    like: Picture | None = None,
    keep_location: bool = False,
) -> EncodedPicture:
    """Encode RGB [H, W, 3] or gray [H, W] uint8 as one of OUTPUT_FORMATS.

    Of ``like`` are kept, as far as the format can hold them: gray (the result is one channel if it was),
    the ICC profile, EXIF, XMP, IPTC, texts, resolution, and the alpha plane, scaled if ``pixels`` is of
    another size; jpeg has no alpha, there the picture is laid on white. Where the format has no place for
    the profile the pixels are converted to sRGB. The place (GPS, names of places) only goes along with
    ``keep_location``. ``quality`` 1..100 is for jpeg and avif (both with full color resolution from 90 on)
    and webp (100 is lossless); png, tiff and bmp are always lossless. Raises ValueError on a wrong argument.
    """
    if format not in OUTPUT_FORMATS:
        raise ValueError(f"format must be one of {', '.join(OUTPUT_FORMATS)}, not {format!r}")
    if not 1 <= quality <= 100:
        raise ValueError(f"quality must be in 1..100, not {quality}")
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or pixels.shape[2:] not in ((), (3,)):
        raise ValueError(f"pixels must be uint8 [H, W] or [H, W, 3], not {pixels.dtype} {list(pixels.shape)}")
    if like is not None and like.grayscale and pixels.ndim == 3:
        pixels = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY)
    metadata = Metadata() if like is None else like.located if keep_location else like.metadata
    data = _WRITERS[format](pixels, _alpha(pixels, like), quality, _profile(pixels, like), metadata)
    return EncodedPicture(data, MEDIA_TYPES[format])


def encode_indexed(picture: IndexedPicture) -> EncodedPicture:
    """As PNG, one byte a pixel before it is compressed."""
    return EncodedPicture(png.write_indexed(picture.indices, picture.palette), MEDIA_TYPES["png"])


def _png(
    pixels: Pixels, alpha: Pixels | None, quality: int, profile: bytes | None, carried: Metadata
) -> bytes:
    return png.write(
        pixels,
        alpha,
        icc=profile if profile is None or len(profile) <= png.MOST_PROFILE else None,
        exif_block=carried.exif,
        packet=carried.xmp,
        described=carried.texts,
        resolution=carried.resolution,
    )


def _tiff(
    pixels: Pixels, alpha: Pixels | None, quality: int, profile: bytes | None, carried: Metadata
) -> bytes:
    block = exif.complete_block(carried.exif, carried.texts, carried.resolution)
    return tiff.write(pixels, alpha, icc=profile, exif_block=block, packet=carried.xmp, iptc=carried.iptc)


def _bmp(
    pixels: Pixels, alpha: Pixels | None, quality: int, profile: bytes | None, carried: Metadata
) -> bytes:
    pixels = icc.to_srgb(pixels, profile)
    if alpha is not None and pixels.ndim == 2:  # a palette has no alpha that is read
        pixels = cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB)
    if pixels.ndim == 3:
        code = cv2.COLOR_RGB2BGR if alpha is None else cv2.COLOR_RGB2BGRA
        pixels = cv2.cvtColor(np.ascontiguousarray(pixels), code)
    if alpha is not None:
        pixels[..., 3] = alpha
    done, file = cv2.imencode(".bmp", pixels)
    if not done:
        raise OSError("The BMP encoder gave nothing.")
    written = file.tobytes()
    # OpenCV writes none.
    return written if carried.resolution is None else bmp.write(written, resolution=carried.resolution)


def _jpeg(
    pixels: Pixels, alpha: Pixels | None, quality: int, profile: bytes | None, carried: Metadata
) -> bytes:
    if alpha is not None:
        pixels = _on_white(pixels, alpha)
    full = quality >= _FULL_CHROMA_FROM
    sampling = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444 if full else cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420
    options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling]
    # OpenCV: the same library as Pillow's, without its copy of four bytes per pixel.
    blue_first = pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    done, file = cv2.imencode(".jpg", blue_first, options)
    if not done:
        raise OSError("The JPEG encoder gave nothing.")
    return jpeg.write(
        file.data,
        icc=profile,
        exif_block=exif.complete_block(carried.exif, carried.texts, None),
        xmp=carried.xmp,
        iptc=carried.iptc,
        comment=carried.texts.get(COMMENT),
        resolution=carried.resolution,
    )


def _webp(
    pixels: Pixels, alpha: Pixels | None, quality: int, profile: bytes | None, carried: Metadata
) -> bytes:
    if pixels.ndim == 2:  # WebP has no gray, and takes no profile of one
        pixels, profile = cv2.cvtColor(icc.to_srgb(pixels, profile), cv2.COLOR_GRAY2RGB), None
    block = exif.complete_block(carried.exif, carried.texts, carried.resolution)
    lossless = quality == 100
    written = io.BytesIO()
    _image(pixels, alpha).save(
        written,
        "WEBP",
        lossless=lossless,
        # Of lossless files the number is the effort: 100 takes a minute for 12 megapixels and saves nothing.
        quality=20 if lossless else quality,
        exact=True,  # colors under transparent pixels too
        method=1 if lossless else 2,  # half the time of the default for 2 % more bytes at the same quality
        icc_profile=profile or b"",
        exif=exif.PREFIX + block if block else b"",
        xmp=carried.xmp or b"",
    )
    return written.getvalue()


def _avif(
    pixels: Pixels, alpha: Pixels | None, quality: int, profile: bytes | None, carried: Metadata
) -> bytes:
    gray = pixels.ndim == 2
    if gray and alpha is not None:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB)
    # Pillow parses a block that has an orientation and writes it anew, its way.
    block = exif.complete_block(carried.exif, carried.texts, carried.resolution, oriented=False)
    written = io.BytesIO()
    _image(pixels, alpha).save(
        written,
        "AVIF",
        quality=quality,
        subsampling="4:0:0" if gray else "4:4:4" if quality >= _FULL_CHROMA_FROM else "4:2:0",
        speed=_AVIF_SPEED,
        max_threads=_AVIF_THREADS,
        icc_profile=profile or b"",
        exif=block or b"",
        xmp=carried.xmp or b"",
    )
    return written.getvalue()


_WRITERS: dict[str, Callable[[Pixels, Pixels | None, int, bytes | None, Metadata], bytes]] = {
    "png": _png,
    "jpeg": _jpeg,
    "webp": _webp,
    "tiff": _tiff,
    "bmp": _bmp,
    "avif": _avif,
}


def _image(pixels: Pixels, alpha: Pixels | None) -> Image.Image:
    return Image.fromarray(pixels if alpha is None else np.dstack((pixels, alpha)))


def _alpha(pixels: Pixels, like: Picture | None) -> Pixels | None:
    if like is None or like.alpha is None or like.alpha.shape == pixels.shape[:2]:
        return None if like is None else like.alpha
    height, width = pixels.shape[:2]
    smaller = height * width < like.alpha.size
    method = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    scaled: Pixels = cv2.resize(like.alpha, (width, height), interpolation=method)
    return scaled


def _profile(pixels: Pixels, like: Picture | None) -> bytes | None:
    """The picture's profile, unless it describes another number of channels than is written."""
    profile = like.icc_profile if like is not None else None
    return profile if icc.space(profile) == (icc.GRAY if pixels.ndim == 2 else icc.RGB) else None


def _on_white(pixels: Pixels, alpha: Pixels) -> Pixels:
    laid = np.empty(pixels.shape, np.uint8)
    for top in range(0, len(pixels), _BAND):  # 16 bit numbers of a few rows only
        part = slice(top, top + _BAND)
        weight = (alpha[part] if pixels.ndim == 2 else alpha[part, :, None]).astype(np.uint16)
        laid[part] = (pixels[part] * weight + _WHITE * (255 - weight) + 127) // 255
    return laid
