"""Image files to pixels and back. Knows nothing of HTTP, queues or models; all of it is thread-safe.

Here are the parts that need no OpenCV, which gateways do without: pixels are read by ``images.decode`` and written by
``images.encode``.
"""

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
    "probe",
    "refuse_bytes",
    "resolve_format",
]
