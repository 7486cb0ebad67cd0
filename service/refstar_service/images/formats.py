"""The image types that are taken and given back."""

from refstar_service.images.picture import ImageInfo

OUTPUT_FORMATS = ("png", "jpeg", "webp")
MEDIA_TYPES = {
    "jpeg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "tiff": "image/tiff",
    "bmp": "image/bmp",
    "avif": "image/avif",
}


def resolve_format(requested: str, info: ImageInfo) -> str:
    """The output format for ``requested`` ("same" or one of OUTPUT_FORMATS).

    "same" is the input's own type where that is an output format, else png (tiff, bmp) or webp (avif).
    """
    raise NotImplementedError
