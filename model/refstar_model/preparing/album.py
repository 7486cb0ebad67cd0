"""The photographs of an album: a folder for each person, and what becomes of every file in it."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from refstar_model.data.photos import DataError
from refstar_model.preparing.finder import FaceSearch
from refstar_model.preparing.portrait import Portrait, PortraitError, cut_portrait
from refstar_model.progress import follow

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp")


@dataclass(frozen=True, eq=False)
class Entry:
    """A file of the album: its portrait, or why it was left out. ``file``: what it is called in the data folder."""

    path: Path
    person: str
    file: str = ""
    portrait: Portrait | None = None
    reason: str = ""


def find_photographs(album: Path) -> list[tuple[str, Path]]:
    """Person and path of every photograph, in the order of their names. Raises DataError for a folder that is no
    album."""
    if not album.is_dir():
        raise DataError(f"{album} is no folder: it should hold one folder for each person")
    found = [
        (folder.name, path)
        for folder in sorted(album.iterdir())
        if folder.is_dir() and not folder.name.startswith(".")
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    ]
    if not found:
        raise DataError(
            f"{album} has no photographs in folders: it should hold one folder for each person, with "
            f"{', '.join(SUFFIXES)} in it"
        )
    return found


def read_album(photographs: list[tuple[str, Path]], search: FaceSearch) -> Iterator[Entry]:
    """What becomes of each, one by one."""
    seen: dict[str, Path] = {}
    for person, path in follow(photographs, "photographs"):
        data = path.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        if (other := seen.setdefault(digest, path)) is not path:
            yield Entry(path, person, reason=f"the same file as {other}")
        else:
            yield _read_entry(path, person, data, digest, search)


def _read_entry(path: Path, person: str, data: bytes, digest: str, search: FaceSearch) -> Entry:
    picture = (
        cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    )  # turned upright by EXIF
    if picture is None:
        return Entry(path, person, reason="it cannot be read: save it as JPEG or PNG")
    rgb = np.ascontiguousarray(picture[..., ::-1]).astype(np.uint8, copy=False)
    try:
        portrait = cut_portrait(rgb, search.find(rgb))
    except PortraitError as error:
        return Entry(path, person, reason=str(error))
    return Entry(path, person, f"{_make_slug(person)}_{digest[:8]}.jpg", portrait)


def _make_slug(name: str) -> str:
    """The name as files have it anywhere; who it is, the column ``person`` says."""
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-").lower()[:40] or "person"
