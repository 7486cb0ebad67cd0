"""Bytes by key with a time to live, behind one protocol of three methods."""

from refstar_service.blobs.directory import DirectoryBlobs
from refstar_service.blobs.redis import RedisBlobs
from refstar_service.blobs.store import BlobStore

__all__ = ["BlobStore", "DirectoryBlobs", "RedisBlobs"]
