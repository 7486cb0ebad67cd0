"""The face photographs a model is trained and judged on.

A data folder holds ``faces.csv`` (file, split, person, in512, licence, ...), ``pairs.csv``, ``faces256/`` and
``faces512/``: pictures aligned to the 512 template (at 256, half of it). ``faces256`` holds every photograph,
``faces512`` those that are truly sharp at 512.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Photo:
    file: str
    person: str
    split: str
    sharp_at_512: bool
    license: str


@dataclass(frozen=True)
class Pair:
    """Two different photographs of one person."""

    person: str
    split: str
    first: str
    second: str
    similarity: float  # of the two faces, by a recognizer; near 1 means the same sitting


@dataclass(frozen=True)
class PhotoSet:
    folder: Path
    photos: tuple[Photo, ...]
    pairs: tuple[Pair, ...]

    def split(self, name: str) -> "PhotoSet":
        """Only the people of one split (``train`` or ``val``)."""
        return PhotoSet(
            self.folder,
            tuple(p for p in self.photos if p.split == name),
            tuple(p for p in self.pairs if p.split == name),
        )

    def read(self, file: str, size: int) -> Pixels:
        """The photograph as RGB uint8 [size, size, 3]; size 256 or 512 (512 only where sharp at 512)."""
        path = self.folder / f"faces{size}" / file
        picture = cv2.imread(str(path))
        if picture is None or picture.shape[:2] != (size, size):
            raise FileNotFoundError(f"{path}: no picture of {size}x{size} pixels")
        return np.ascontiguousarray(picture[..., ::-1])


def load_photos(folder: Path) -> PhotoSet:
    """Read the lists of a data folder; raises FileNotFoundError naming what is missing."""
    for name in ("faces.csv", "pairs.csv"):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder / name} is missing: not a folder of face photographs")
    with (folder / "faces.csv").open(newline="") as lines:
        photos = tuple(
            Photo(r["file"], r["person"], r["split"], r["in512"] == "1", r["licence"])
            for r in csv.DictReader(lines)
        )
    with (folder / "pairs.csv").open(newline="") as lines:
        pairs = tuple(
            Pair(r["person"], r["split"], r["file_a"], r["file_b"], float(r["emb_sim"]))
            for r in csv.DictReader(lines)
        )
    return PhotoSet(folder, photos, pairs)
