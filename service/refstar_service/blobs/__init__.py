"""Bytes by key with a time to live, behind one protocol of four methods. S3 is in `blobs.s3`, which needs an extra."""

from refstar_service.blobs.directory import DirectoryBlobs
from refstar_service.blobs.redis import RedisBlobs
from refstar_service.blobs.store import (
    STORE_ERRORS,
    BlobsFullError,
    BlobStore,
    BlobsUnavailableError,
    SweptBlobStore,
)

__all__ = [
    "STORE_ERRORS",
    "BlobStore",
    "BlobsFullError",
    "BlobsUnavailableError",
    "DirectoryBlobs",
    "RedisBlobs",
    "SweptBlobStore",
]
