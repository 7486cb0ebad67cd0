"""Pictures as a program has them: a path, bytes, or an open file."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import BinaryIO

Picture = str | PathLike[str] | bytes | BinaryIO | tuple[str, bytes]
"""A path; the bytes of a file; a file that is open in binary mode; or a name and bytes. The name is what the service
shows in its reports and begins the name of the download with."""

FormFile = tuple[str, tuple[str, bytes, str]]
UNNAMED = "picture"


def form_file(field: str, picture: Picture) -> FormFile:
    """The picture as a file of a form, read whole: a request that is sent again needs its bytes again.

    Raises OSError for a file that cannot be read, TypeError for something that is no picture at all.
    """
    name, data = _read(picture)
    # The service goes by the bytes; this says no more than that it is a file.
    return field, (name, data, "application/octet-stream")


def _read(picture: Picture) -> tuple[str, bytes]:
    match picture:
        case bytes():
            return UNNAMED, picture
        case (str() as name, bytes() as data):
            return name, data
        case str() | PathLike():
            path = Path(picture)
            return path.name, path.read_bytes()
        case _ if hasattr(picture, "read"):
            data = picture.read()
            if not isinstance(data, bytes):
                raise TypeError("a picture must be opened in binary mode: open(path, 'rb')")
            return Path(str(getattr(picture, "name", UNNAMED))).name or UNNAMED, data
    raise TypeError(
        f"a picture is a path, bytes, a binary file or (name, bytes), not {type(picture).__name__}"
    )
