"""Bytes to pixels.

What comes out is always upright 8 bit RGB with three channels, whatever went in:

- gray, gray and alpha, one bit: three equal channels, and `Picture.grayscale` is set;
- palette: its colors, with its transparency as alpha;
- alpha: kept apart, straight; colors under it are left as they are;
- CMYK (JPEG, also Adobe's inverted one, and TIFF): sRGB by the embedded profile, else by (1 - C)(1 - K);
- 16 bits: rounded to v / 257;
- color told in numbers (PNG, AVIF, HEIC): on sRGB's tone curve, with a profile of the primaries if they are others;
- orientation (EXIF, TIFF's tag, AVIF's and HEIC's boxes): applied once, here;
- several pictures in one JPEG (MPO, as phones write): the first;
- smaller copies and masks in one TIFF: passed over.

Refused are animations and multi-page files, floating-point and signed TIFF, 12 bit or lossless JPEG, and
every file that ends early: no missing part is ever filled. Damage that leaves a JPEG's or WebP's
compressed data readable cannot be told from content: these types have no checksums.
"""

import io

import cv2
import numpy as np
import numpy.typing as npt
from PIL import (  # importing one registers its decoder; no other decoder is ever asked
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from refstar_service.images import heic_decoder, metadata, raster
from refstar_service.images.containers import avif, gif, heic, jp2, jpeg, png, tiff
from refstar_service.images.containers.header import Header
from refstar_service.images.errors import ImageError, RefusalCode
from refstar_service.images.picture import ImageLimits, Picture
from refstar_service.images.probe import inspect

_DECODERS = {
    "jpeg": JpegImagePlugin.JpegImageFile.format,
    "png": PngImagePlugin.PngImageFile.format,
    "webp": WebPImagePlugin.WebPImageFile.format,
    "tiff": TiffImagePlugin.TiffImageFile.format,
    "bmp": BmpImagePlugin.BmpImageFile.format,
    "avif": AvifImagePlugin.AvifImageFile.format,
    "gif": GifImagePlugin.GifImageFile.format,
    "jp2": Jpeg2KImagePlugin.Jpeg2KImageFile.format,
}
_PLAIN = {
    "jpeg": jpeg.plain,
    "png": png.plain,
    "tiff": tiff.plain,
    "avif": avif.plain,
    "gif": gif.plain,
    "jp2": jp2.plain,
    "heic": heic.plain,
}
_DEEP = {"png", "tiff"}  # of which Pillow would keep the upper byte only


def decode(data: bytes, limits: ImageLimits) -> Picture:
    """Decode to upright 8 bit RGB; raises ImageError and nothing else, whatever the bytes are."""
    info, header = inspect(data, limits)
    try:
        found = _raster(data, info.format, header)
    except ImageError:
        raise
    except Exception as error:  # decoders raise what they like: OSError, SyntaxError, RuntimeError, ...
        ends_early = isinstance(error, EOFError) or "truncated" in str(error).lower()
        code = RefusalCode.TRUNCATED if ends_early else RefusalCode.UNDECODABLE
        raise ImageError(
            code, f"The {info.format} file cannot be decoded. It is damaged or incomplete."
        ) from error
    color = raster.upright(found.color, header.orientation)
    grayscale = color.ndim == 2
    return Picture(
        pixels=cv2.cvtColor(color, cv2.COLOR_GRAY2RGB) if grayscale else color,
        alpha=None if found.alpha is None else raster.upright(found.alpha, header.orientation),
        info=info,
        grayscale=grayscale,
        icc_profile=found.profile,
        metadata=metadata.carry_over(header, keep_location=False),
        located=metadata.carry_over(header, keep_location=True),
    )


def _raster(data: bytes, kind: str, header: Header) -> raster.Raster:
    plain = _PLAIN[kind](data) if kind in _PLAIN else data
    if kind == "heic":
        values = heic_decoder.decode(plain, header.work)
        _check_size((values.shape[1], values.shape[0]), kind, header)
        return raster.from_channels(values, header)
    if header.bits == 16 and kind in _DEEP:
        return raster.from_deep(_deep(plain, header), header)
    closed = kind != "jpeg" or jpeg.end(plain) >= 0
    if not closed:
        plain = jpeg.close_data(plain)
    image = _load(plain, kind, header)
    if kind == "png" and _may_lack_rows(image) and not png.has_all_rows(plain):
        raise ImageError(
            RefusalCode.TRUNCATED, "The PNG file's compressed data ends before its picture does."
        )
    if kind == "jpeg" and (not closed or _ends_in_fill(image)) and not _is_whole(plain, image, header):
        raise ImageError(
            RefusalCode.TRUNCATED, "The JPEG file's compressed data ends before its picture does."
        )
    return raster.from_pillow(image, header)


def _load(data: bytes, kind: str, header: Header) -> Image.Image:
    """By Pillow. OpenCV reads a JPEG a tenth quicker, but gives back half a picture where a scan breaks off."""
    image = Image.open(io.BytesIO(data), formats=[_DECODERS[kind]])
    _check_size(image.size, kind, header)
    image.load()
    return image


def _check_size(size: tuple[int, int], kind: str, header: Header) -> None:
    if size != (header.width, header.height):
        raise ImageError(RefusalCode.UNDECODABLE, f"The {kind} file contains contradicting sizes.")


def _deep(data: bytes, header: Header) -> npt.NDArray[np.uint16]:
    """By OpenCV: Pillow keeps only the upper byte of colors. PNG and TIFF that break off are refused here too."""
    pixels: npt.NDArray[np.uint16] | None = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint16 or pixels.shape[:2] != (header.height, header.width):
        raise ImageError(
            RefusalCode.UNDECODABLE, "The 16 bit file cannot be decoded. It is damaged or incomplete."
        )
    return pixels


def _may_lack_rows(image: Image.Image) -> bool:
    """Whether the last pixel is the zero that is there before the decoder comes, or rows do not come in order.

    Compressed data that ends in good order, but too early, is no error to the decoder.
    """
    last = image.getpixel((image.width - 1, image.height - 1))
    return bool(image.info.get("interlace")) or set(last if isinstance(last, tuple) else (last,)) == {0}


def _ends_in_fill(image: Image.Image) -> bool:
    """Whether the last pixel is the gray that the decoder puts where compressed data is missing.

    It does so silently if an end marker follows too early, as in a cut file that a tool has closed again.
    """
    last = image.getpixel((image.width - 1, image.height - 1))
    return set(last if isinstance(last, tuple) else (last,)) <= {127, 128}


def _is_whole(data: bytes, image: Image.Image, header: Header) -> bool:
    """Whether no data is missing: more of it before the end marker is superfluous then, and changes nothing.

    Where bits are missing decoders put zeros. So it begins with ones, in case that few are.
    """
    end = jpeg.end(data)
    more = (
        b"\xfe" + np.random.default_rng(0).integers(0, 255, 4096, np.uint8).tobytes()
    )  # 0xFF, a marker, left out
    again = _load(data[:end] + more + data[end:], "jpeg", header)
    return again.tobytes() == image.tobytes()
