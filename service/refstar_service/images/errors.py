"""Why a picture is not taken."""

from enum import StrEnum


class RefusalCode(StrEnum):
    """Stable slugs: the gateway uses them as problem types, the worker as failure codes."""

    EMPTY = "image-empty"  # zero bytes
    NOT_AN_IMAGE = "not-an-image"  # no known image type by its first bytes
    TYPE_UNSUPPORTED = "image-type-unsupported"  # an image, but of a type that is not taken (GIF, HEIC, ...)
    TYPE_MISMATCH = "image-type-mismatch"  # the caller claimed that it is no image
    TOO_MANY_BYTES = "image-too-many-bytes"
    TOO_MANY_PIXELS = "image-too-many-pixels"  # by the header: nothing was decoded
    TOO_SMALL = "image-too-small"
    ANIMATED = "image-animated"  # more than one frame or page
    TRUNCATED = "image-truncated"  # the file ends before the picture does
    UNDECODABLE = "image-undecodable"  # damaged, or a variant of the type that is not taken


class ImageError(ValueError):
    """The bytes are not a picture that is taken; ``detail`` is a sentence for the caller who sent them."""

    def __init__(self, code: RefusalCode, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
