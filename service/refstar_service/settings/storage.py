"""Settings of which Redis there is, and where pictures are stored."""

import os
import re
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from refstar_service.settings.group import SettingsGroup


def _default_data_dir() -> Path:
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "refstar"


class StorageSettings(SettingsGroup):
    """Where the queue and the pictures are."""

    # ---- where things live

    redis_url: str | None = Field(None, repr=False)  # may hold a password, and settings are logged at start
    """Redis >= 6.2 or Valkey >= 8, as `redis://[:password@]host:port/db`. If unset, `refstar serve` starts an
    embedded Redis, which serves one machine only. The server must run with `maxmemory-policy noeviction`; otherwise
    it may evict results."""

    embedded_redis_memory_mb: int = Field(512, ge=32)
    """Memory limit of the embedded Redis, in MiB. It also holds the pictures if `blobs` is `redis`: a limit that is
    too low causes 503 responses under load, one that is too high takes memory from the models."""

    data_dir: Path = Field(default_factory=_default_data_dir)
    """Folder of the embedded Redis and of `blobs=directory`. Accepted jobs survive a restart as long as this folder
    does. Default: `refstar` in the user's data folder."""

    blobs: Literal["redis", "directory", "s3"] | None = None
    """Where pictures are stored. `redis` needs nothing else, but uses Redis memory and the same amount of disk for
    its append-only file. `directory` uses disk, and every gateway and worker must share the folder; nobody but the
    service's own user can read it. `s3` is the slowest, and needs `s3_url` and the extra `s3`. Default: `directory`
    beside the embedded Redis, `redis` if `redis_url` is set. `storage_bytes` bounds what they take."""

    blob_dir: Path | None = None
    """Folder for `blobs=directory`. Default: `blobs` inside `data_dir`."""

    s3_url: str | None = None
    """Bucket and prefix for `blobs=s3`, as `s3://bucket/prefix`. The bucket must exist. Region, endpoint and
    credentials come from the usual AWS variables (`AWS_REGION`, `AWS_ENDPOINT_URL`, `AWS_ACCESS_KEY_ID`, ...) or
    from the role of the machine."""

    @property
    def store(self) -> Literal["redis", "directory", "s3"]:
        """What `blobs` says, or its default."""
        return self.blobs or ("directory" if self.redis_url is None else "redis")

    @property
    def blob_folder(self) -> Path:
        """The folder that `blobs=directory` uses."""
        return self.blob_dir or self.data_dir / "blobs"

    @field_validator("redis_url")
    @classmethod
    def _check_redis_url(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("must start with redis://, rediss:// or unix://")
        return value

    @field_validator("s3_url")
    @classmethod
    def _check_s3_url(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"s3://[a-z0-9][a-z0-9.-]+(/.*)?", value):
            raise ValueError("must be s3://bucket or s3://bucket/prefix")
        return value

    @model_validator(mode="after")
    def _check_s3_bucket(self) -> Self:
        if self.blobs == "s3" and self.s3_url is None:
            raise ValueError("blobs=s3 requires s3_url: s3://bucket/prefix")
        return self
