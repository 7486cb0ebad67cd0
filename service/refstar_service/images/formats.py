"""The image types that are taken, and those that are given back."""

import io

from PIL import AvifImagePlugin, Image

from refstar_service.images import heic_decoder
from refstar_service.images.containers import jp2, jpeg, webp
from refstar_service.images.errors import ImageError, RefusalCode
from refstar_service.images.picture import ImageInfo


def _avif_writable() -> bool:
    """Whether Pillow was built with an AVIF encoder, as its wheels are. Only trying tells."""
    try:
        Image.new("L", (1, 1)).save(
            io.BytesIO(), AvifImagePlugin.AvifImageFile.format, speed=10, max_threads=1
        )
    except (KeyError, OSError, ValueError):
        return False
    return True


_WRITTEN_SOMEWHERE = ("png", "jpeg", "webp", "tiff", "bmp", "avif")
OUTPUT_FORMATS = tuple(kind for kind in _WRITTEN_SOMEWHERE if kind != "avif" or _avif_writable())
MEDIA_TYPES = {
    "jpeg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "tiff": "image/tiff",
    "bmp": "image/bmp",
    "avif": "image/avif",
    "heic": "image/heic",
    "jp2": "image/jp2",
    "gif": "image/gif",
}
_NAMES = {
    "jpeg": "JPEG",
    "png": "PNG",
    "webp": "WebP",
    "tiff": "TIFF",
    "bmp": "BMP",
    "avif": "AVIF",
    "heic": "HEIC",
    "jp2": "JPEG 2000",
    "gif": "GIF",
}
_WRITTEN = ", ".join(_NAMES[kind] for kind in OUTPUT_FORMATS)
_MOST_SIDE = {"jpeg": jpeg.MAX_SIDE, "webp": webp.MAX_SIDE, "avif": 32_768}  # the last: of its decoders
# The AVIF encoder takes 40 bytes for each: a gigabyte here, for others it is at most a third of that.
_MOST_PIXELS = {"avif": 25_000_000}
_READ = [name for kind, name in _NAMES.items() if kind != "heic" or heic_decoder.available()]
TAKEN = f"{', '.join(_READ[:-1])} and {_READ[-1]}"
#: What "same" gives for types that are not written: the first that can hold it. Phones' pictures stay small.
_INSTEAD = {"avif": ("webp",), "heic": ("jpeg",)}
#: Claims that say nothing: bytes of any kind.
_ANY_BYTES = {"application/octet-stream", "binary/octet-stream", "*/*"}
# What callers may well send, so that the answer can name it.
_NOT_TAKEN = {
    b"8BPS": "a Photoshop document",
    b"\0\0\1\0": "an icon",
    b"\xff\x0a": "a JPEG XL",
    b"\0\0\0\x0cJXL ": "a JPEG XL",
    b"qoif": "a QOI",
    b"v/1\1": "an OpenEXR",
    b"#?RADIANCE": "a Radiance HDR",
}
_HEIC = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"}


def sniff(data: bytes) -> str:
    """The type by its first bytes, a key of MEDIA_TYPES; raises ImageError for anything else."""
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
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "gif"
    if data.startswith((jp2.SIGNATURE, jp2.CODESTREAM)):
        return "jp2"
    other = next((name for start, name in _NOT_TAKEN.items() if data.startswith(start)), None)
    if data[4:8] == b"ftyp":
        brands = {data[at : at + 4] for at in range(8, min(int.from_bytes(data[:4]), 256), 4)}
        if brands & {b"avif", b"avis"}:
            return "avif"
        if brands & _HEIC and heic_decoder.available():
            return "heic"
        other = "a HEIC (for which the extra `heic` is not installed)" if brands & _HEIC else None
    if other is not None:
        raise ImageError(
            RefusalCode.TYPE_UNSUPPORTED, f"The file is {other} image. Supported types are {TAKEN}."
        )
    raise ImageError(
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
    type; where that is not written here or cannot hold the result, it is webp for avif, jpeg for heic without alpha,
    and png else, or if they cannot hold it either. Raises ValueError for another word, ImageError where what was
    asked for by name cannot be given: image-too-many-pixels if the result is too large for the type,
    image-type-unsupported for avif without an encoder.
    """
    if requested not in (*_WRITTEN_SOMEWHERE, "same"):
        raise ValueError(f"format must be same, {', '.join(OUTPUT_FORMATS)}, not {requested!r}")
    width, height = size or (info.width, info.height)

    def too_large(kind: str) -> bool:
        pixels = width * height
        return max(width, height) > _MOST_SIDE.get(kind, pixels) or pixels > _MOST_PIXELS.get(kind, pixels)

    if requested == "same":
        wishes = [info.format, *_INSTEAD.get(info.format, ())]
        if info.has_alpha and info.format != "jpeg":
            wishes = [kind for kind in wishes if kind != "jpeg"]
        return next((kind for kind in wishes if kind in OUTPUT_FORMATS and not too_large(kind)), "png")
    if requested not in OUTPUT_FORMATS:
        raise ImageError(
            RefusalCode.TYPE_UNSUPPORTED, f"{_NAMES[requested]} is not written here; {_WRITTEN} are."
        )
    if too_large(requested):
        most = f"at most {_MOST_SIDE[requested]} pixels per side"
        if requested in _MOST_PIXELS:
            most += f" and {_MOST_PIXELS[requested]} in total"
        detail = f"A {_NAMES[requested]} can have {most}; this result would have {width} x {height}."
        raise ImageError(RefusalCode.TOO_MANY_PIXELS, detail)
    return requested
