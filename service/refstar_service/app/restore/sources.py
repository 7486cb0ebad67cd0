"""Which pictures of a folder are restored, and what else lies there."""

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from refstar_service.app.restore.targets import FORMATS

SUFFIXES = frozenset(FORMATS) | {".heic", ".heif", ".hif", ".jp2", ".j2k", ".gif"}


@dataclass(frozen=True)
class Found:
    """``pictures`` in the order of their names; ``passed_over``: everything else, with the reason; ``unreadable``:
    folders that nobody could look into."""

    pictures: tuple[Path, ...]
    passed_over: tuple[tuple[Path, str], ...]
    unreadable: tuple[tuple[Path, OSError], ...]


def find_pictures(folder: Path, *, recursive: bool, own: Collection[Path]) -> Found:
    """Files of a folder that are pictures by their names. ``own``: resolved paths that this run writes.

    What macOS keeps beside files on foreign disks (``._photo.jpg``) is not even mentioned.
    """
    pictures: list[Path] = []
    passed_over: list[tuple[Path, str]] = []
    unreadable: list[tuple[Path, OSError]] = []

    def look(place: Path) -> None:
        try:
            entries = sorted(os.scandir(place), key=lambda entry: entry.name)
        except OSError as error:
            unreadable.append((place, error))
            return
        for entry in entries:
            path = place / entry.name
            if entry.name.startswith("._") or (path.resolve() in own and not entry.is_dir()):
                continue
            reason = _why_not(entry, path, own, recursive=recursive)
            if reason is not None:
                passed_over.append((path, reason))
            elif entry.is_dir():
                look(path)
            else:
                pictures.append(path)

    look(folder)
    return Found(tuple(pictures), tuple(passed_over), tuple(unreadable))


def _why_not(entry: "os.DirEntry[str]", path: Path, own: Collection[Path], *, recursive: bool) -> str | None:
    if entry.is_dir():
        if path.resolve() in own:
            return "a folder for results"
        if entry.is_symlink():
            return "a link to a folder"
        return None if recursive else "a folder; --recursive restores what is in it"
    if path.suffix.lower() not in SUFFIXES:
        return "not a picture by its name"
    if entry.is_file():
        return None
    return "a link to nothing" if entry.is_symlink() else "not a file"


def list_suffixes() -> str:
    return " ".join(sorted(SUFFIXES))
