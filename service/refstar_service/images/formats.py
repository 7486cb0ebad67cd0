"""The image types that are taken and given back."""

import io

from PIL import AvifImagePlugin, Image

from refstar_service.images.containers import jpeg, webp
from refstar_service.images.picture import ImageInfo
from refstar_service.images.refusal import ImageRefused, RefusalCode


def _avif_writable() -> bool:
    """Whether Pillow was built with an AVIF encoder, as its wheels are. Only trying tells."""
    try:
        Image.new("L", (1, 1)).save(
            io.BytesIO(), AvifImagePlugin.AvifImageFile.format, speed=10, max_threads=1
        )
    except (KeyError, OSError, ValueError):
        return False
    return True


OUTPUT_FORMATS = ("png", "jpeg", "webp", "tiff", "bmp", *(("avif",) if _avif_writable() else ()))
MEDIA_TYPES = {
    "jpeg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "tiff": "image/tiff",
    "bmp": "image/bmp",
    "avif": "image/avif",
}
_NAMES = {"jpeg": "JPEG", "png": "PNG", "webp": "WebP", "tiff": "TIFF", "bmp": "BMP", "avif": "AVIF"}
_WRITTEN = ", ".join(_NAMES[kind] for kind in OUTPUT_FORMATS)
_MOST_SIDE = {"jpeg": jpeg.MAX_SIDE, "webp": webp.MAX_SIDE, "avif": 32_768}  # the last: of its decoders
# The AVIF encoder takes 40 bytes for each: a gigabyte here, for others it is at most a third of that.
_MOST_PIXELS = {"avif": 25_000_000}
TAKEN = "JPEG, PNG, WebP, TIFF, BMP and AVIF"
#: Claims that say nothing: bytes of any kind.
_ANY_BYTES = {"application/octet-stream", "binary/octet-stream", "*/*"}
# What callers may well send, so that the answer can name it.
_NOT_TAKEN = {
    b"GIF8": "a GIF",
    b"8BPS": "a Photoshop document",
    b"\0\0\1\0": "an icon",
    b"\xff\x0a": "a JPEG XL",
    b"\0\0\0\x0cJXL ": "a JPEG XL",
    b"\0\0\0\x0cjP  ": "a JPEG 2000",
    b"\xff\x4f\xff\x51": "a JPEG 2000",
    b"qoif": "a QOI",
    b"v/1\1": "an OpenEXR",
    b"#?RADIANCE": "a Radiance HDR",
}
_HEIF = {b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1"}


def sniff(data: bytes) -> str:
    """The type by its first bytes, a key of MEDIA_TYPES; raises ImageRefused for anything else."""
    if data.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "webp"
    if data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "tiff"
    if data.startswith(b"BM") and len(data) >= 18 and data[15:18] == b"\0\0\0":  # a header of under 256 bytes
        return "bmp"
    other = next((name for start, name in _NOT_TAKEN.items() if data.startswith(start)), None)
    if data[4:8] == b"ftyp":
        brands = {data[at : at + 4] for at in range(8, min(int.from_bytes(data[:4]), 256), 4)}
        if brands & {b"avif", b"avis"}:
            return "avif"
        other = "a HEIC" if brands & _HEIF else None
    if other is not None:
        raise ImageRefused(
            RefusalCode.TYPE_UNSUPPORTED, f"The file is {other} image. Supported types are {TAKEN}."
        )
    raise ImageRefused(
        RefusalCode.NOT_AN_IMAGE, f"The file is not a picture of a known type. Supported types are {TAKEN}."
    )


def claims_no_image(claimed: str | None) -> bool:
    """Whether a Content-Type says that the bytes are something else than an image.

    Which type of image it names does not matter: that is told by the bytes, and files with the wrong suffix abound.
    """
    name = (claimed or "").partition(";")[0].strip().lower()
    return "/" in name and not name.startswith("image/") and name not in _ANY_BYTES


def resolve_format(requested: str, info: ImageInfo, *, size: tuple[int, int] | None = None) -> str:
    """The output format for ``requested`` ("same" or one of OUTPUT_FORMATS).

    ``size`` is width and height of the result, where they are not the input's. "same" is the input's own
    type; where that cannot hold the result, or is avif and there is no encoder, it is webp for avif and png
    else, or if webp cannot hold it either. Raises ValueError for another word, ImageRefused where what was
    asked for by name cannot be given: image-too-many-pixels if the result is too large for the type,
    image-type-unsupported for avif without an encoder.
    """
    if requested not in (*MEDIA_TYPES, "same"):
        raise ValueError(f"format must be same, {', '.join(OUTPUT_FORMATS)}, not {requested!r}")
    width, height = size or (info.width, info.height)

    def too_large(kind: str) -> bool:
        pixels = width * height
        return max(width, height) > _MOST_SIDE.get(kind, pixels) or pixels > _MOST_PIXELS.get(kind, pixels)

    if requested == "same":
        wishes = (info.format, *(("webp",) if info.format == "avif" else ()))
        return next((kind for kind in wishes if kind in OUTPUT_FORMATS and not too_large(kind)), "png")
    if requested not in OUTPUT_FORMATS:
        raise ImageRefused(
            RefusalCode.TYPE_UNSUPPORTED, f"{_NAMES[requested]} is not written here; {_WRITTEN} are."
        )
    if too_large(requested):
        most = f"at most {_MOST_SIDE[requested]} pixels per side"
        if requested in _MOST_PIXELS:
            most += f" and {_MOST_PIXELS[requested]} in total"
        detail = f"A {_NAMES[requested]} can have {most}; this result would have {width} x {height}."
        raise ImageRefused(RefusalCode.TOO_MANY_PIXELS, detail)
    return requested
