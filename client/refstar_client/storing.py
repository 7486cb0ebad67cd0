"""Files that are written whole or not at all."""

from __future__ import annotations

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
