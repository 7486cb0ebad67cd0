"""Where results go: names that tell the truth, and files that are written whole, over nothing."""

import os
import secrets
from collections.abc import Callable
from pathlib import Path

#: What is written, by suffix.
FORMATS = {
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".jpe": "jpeg",
    ".jfif": "jpeg",
    ".png": "png",
    ".webp": "webp",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".bmp": "bmp",
    ".avif": "avif",
}
_SUFFIX_OF = {"jpeg": ".jpg", "tiff": ".tif"}


def format_of(path: Path) -> str | None:
    """What a file of this name must be, if that is one of the types that are written."""
    return FORMATS.get(path.suffix.lower())


def name_result(wanted: Path, format: str, *, chosen: bool, pictures: frozenset[str]) -> Path:  # noqa: A002
    """The name with a suffix that tells the truth.

    Of a name that somebody has ``chosen``, the suffix of another picture type (one of ``pictures``) is replaced.
    Nothing else of it is a suffix: ``grandma.1938`` becomes ``grandma.1938.jpg``. To names of pictures in a folder it
    is added, so that ``a.png`` and ``a.bmp`` never become one file.
    """
    if format_of(wanted) == format:
        return wanted
    suffix = _SUFFIX_OF.get(format, f".{format}")
    if chosen and wanted.suffix.lower() in pictures:
        return wanted.with_suffix(suffix)
    return wanted.with_name(wanted.name + suffix)


Stamp = tuple[int, int]


def stamp(path: Path) -> Stamp:
    """Size in bytes and time of the last change in nanoseconds: a file with the same ones is the same one. Raises
    OSError."""
    now = path.stat()
    return now.st_size, now.st_mtime_ns


def write_file(
    path: Path, data: bytes, *, overwrite: bool, announce: Callable[[Stamp], None] | None = None
) -> None:
    """All or nothing: a reader never sees half a file, and a full disk leaves none behind. Makes missing folders.

    Raises FileExistsError, unless ``overwrite``, where the name is taken, even if it was free a moment ago.
    ``announce`` is told the stamp that the file will have just before it has its name.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".refstar-{secrets.token_hex(8)}.part")
    try:
        with part.open("xb") as file:
            file.write(data)
        if announce is not None:
            announce(stamp(part))
        if not overwrite:
            _take_name(part, path)
        else:
            part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _take_name(part: Path, path: Path) -> None:
    try:
        os.link(part, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links: take the name, then put the file there
        with path.open("xb"):
            pass
        part.replace(path)


def exists(path: Path) -> bool:
    """Whether the name is taken, if only by a link to nothing."""
    return os.path.lexists(path)
