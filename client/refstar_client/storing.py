"""Files that come from the service, and how files are written: whole or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from pathlib import Path


def write_file(path: str | PathLike[str], data: bytes) -> None:
    """A reader never sees half a file, and a full disk leaves none behind. Makes missing folders."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    try:
        part.write_bytes(data)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


@dataclass(frozen=True)
class PictureFile:
    """A picture as a file: its bytes, and what kind of file it is, such as `image/jpeg`."""

    data: bytes
    media_type: str

    def write(self, path: str | PathLike[str]) -> None:
        """Write it under this name, whatever that ends in; makes missing folders. Raises OSError."""
        write_file(path, self.data)
