"""The image types that are taken and given back."""

from refstar_service.images.containers import webp
from refstar_service.images.picture import ImageInfo
from refstar_service.images.refusal import ImageRefused, RefusalCode

OUTPUT_FORMATS = ("png", "jpeg", "webp")
MEDIA_TYPES = {
    "jpeg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "tiff": "image/tiff",
    "bmp": "image/bmp",
    "avif": "image/avif",
}
TAKEN = "JPEG, PNG, WebP, TIFF, BMP and AVIF"
_OTHER_NAMES = {
    "image/jpg": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "image/x-png": "image/png",
    "image/apng": "image/png",
    "image/tif": "image/tiff",
    "image/x-tiff": "image/tiff",
    "image/x-bmp": "image/bmp",
    "image/x-ms-bmp": "image/bmp",
}
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
        raise ImageRefused(RefusalCode.TYPE_UNSUPPORTED, f"The file is {other} image; {TAKEN} are taken.")
    raise ImageRefused(
        RefusalCode.NOT_AN_IMAGE, f"The bytes are no image of a known type; {TAKEN} are taken."
    )


def claims_another(claimed: str | None, found: str) -> bool:
    """Whether a Content-Type names an image type other than ``found``; naming no image type is fine."""
    name = (claimed or "").partition(";")[0].strip().lower()
    if not name.startswith("image/") or name == "image/*":
        return False
    return _OTHER_NAMES.get(name, name) != MEDIA_TYPES[found]


def resolve_format(requested: str, info: ImageInfo) -> str:
    """The output format for ``requested`` ("same" or one of OUTPUT_FORMATS).

    "same" is the input's own type where that is an output format; else png for tiff and bmp, webp for
    avif (png if it is too large for webp). Raises ValueError for another word, ImageRefused
    (image-too-many-pixels) where the picture is larger than the type that was asked for can hold.
    """
    if requested not in (*OUTPUT_FORMATS, "same"):
        raise ValueError(f"format must be same, {', '.join(OUTPUT_FORMATS)}, not {requested!r}")
    too_large = max(info.width, info.height) > webp.MAX_SIDE
    if requested == "webp" and too_large:
        detail = (
            f"WebP holds at most {webp.MAX_SIDE} pixels a side; the picture is {info.width}x{info.height}."
        )
        raise ImageRefused(RefusalCode.TOO_MANY_PIXELS, detail)
    if requested != "same":
        return requested
    if info.format in OUTPUT_FORMATS:
        return info.format
    return "webp" if info.format == "avif" and not too_large else "png"
