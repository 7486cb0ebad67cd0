"""Image files to pixels and back. Knows nothing of HTTP, queues or models; all of it is thread-safe."""

from refstar_service.images.decode import decode
from refstar_service.images.encode import encode, encode_indexed
from refstar_service.images.errors import ImageError, RefusalCode
from refstar_service.images.formats import MEDIA_TYPES, OUTPUT_FORMATS, resolve_format
from refstar_service.images.picture import (
    EncodedPicture,
    ImageInfo,
    ImageLimits,
    IndexedPicture,
    LimitNames,
    Picture,
)
from refstar_service.images.probe import probe, refuse_bytes

__all__ = [
    "MEDIA_TYPES",
    "OUTPUT_FORMATS",
    "EncodedPicture",
    "ImageError",
    "ImageInfo",
    "ImageLimits",
    "IndexedPicture",
    "LimitNames",
    "Picture",
    "RefusalCode",
    "decode",
    "encode",
    "encode_indexed",
    "probe",
    "refuse_bytes",
    "resolve_format",
]
