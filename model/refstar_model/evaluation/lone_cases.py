"""What is restored without a reference: single photographs, degraded or as they are."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar
from zlib import crc32

import cv2
import numpy as np
from numpy.typing import NDArray

from refstar_model.data.degradation import LONE_LEVELS, degrade
from refstar_model.data.photos import Kind, Photo, PhotoSet, PictureError
from refstar_model.export.restorers import fit

Pixels = NDArray[np.uint8]
T = TypeVar("T")

REAL_KINDS = (Kind.FRONT, Kind.TURNED, Kind.PROFILE, Kind.GRAY)


@dataclass(frozen=True, eq=False)
class LoneCase:
    """One face [512, 512, 3] to restore, and the truth at the size where it is sharp, 512 or 256."""

    name: str
    person: str
    low_quality: Pixels
    truth: Pixels


def degraded_case(photos: PhotoSet, photo: Photo, level: str, seed: int) -> LoneCase:
    """The photograph at a level of LONE_LEVELS; what is drawn depends on seed, file and level alone."""
    rng = np.random.default_rng([seed, crc32(photo.file.encode()), crc32(level.encode())])
    truth = photos.read_sharpest(photo.file)
    return LoneCase(photo.file, photo.person, degrade(truth, LONE_LEVELS[level](rng), rng), truth)


def clean_case(name: str, person: str, picture: Pixels) -> LoneCase:
    """A photograph as it is, [S, S, 3], S 256 or 512: enlarged for the model where it is smaller.

    The truth is what the model is given, brought back to S as its result will be, so that a model that changes nothing
    is without fault.
    """
    given = fit(picture)
    return LoneCase(name, person, given, fit(given, len(picture)))


def historic_cases(photos: PhotoSet) -> list[LoneCase]:
    """The real old portraits of ``historic.csv``; an empty list where no data folder has it. Raises PictureError."""
    root = next((r for r in photos.roots if (r / "historic.csv").is_file()), None)
    if root is None:
        return []
    with (root / "historic.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    made = []
    for row in rows:
        path = root / "historic" / row["file"]
        picture = cv2.imread(str(path))
        if picture is None or picture.shape[:2] not in ((256, 256), (512, 512)):
            raise PictureError(
                f"{path}: no picture of 256x256 or 512x512 pixels, though historic.csv names it"
            )
        made.append(clean_case(row["file"], row["person"], np.ascontiguousarray(picture[..., ::-1])))
    return made


def spread_over_kinds(photos: PhotoSet, count: int) -> list[Photo]:
    """At most ``count`` photographs, dealt out evenly among the real kinds that there are, kinds taken in turns."""
    kinds = [members for kind in REAL_KINDS if (members := photos.of_kinds(kind).photos)]
    each = -(-count // max(1, len(kinds)))
    taken = [spread(members, each) for members in kinds]
    return [members[turn] for turn in range(each) for members in taken if turn < len(members)][:count]


def spread(items: Sequence[T], count: int | None) -> list[T]:
    """At most ``count`` of the items, evenly spread; None for all."""
    if count is None or len(items) <= count:
        return list(items)
    return [items[int(i)] for i in np.linspace(0, len(items) - 1, count)]
