"""Selection masks that a person has looked at: which parts of a face agree between two photographs, by file name.

``checked_masks.json`` holds verdicts and polygons only. Its train pairs are the seed from which the other masks are
learnt, its val pairs are what all masks are judged by.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from refstar_model.data.face_parts import GRID, Map, Part, part_regions, polygon
from refstar_model.judges.landmarks import SIDE, Points

CHECKED = Path(__file__).with_name("checked_masks.json")
BACKGROUND = "background"


@dataclass(frozen=True)
class CheckedPair:
    """Verdicts on one pair, in the frame of ``truth``; parts that are not named agree.

    ``polygons`` are further places to leave, corners in cells of the mask's grid. The background is to be left,
    unless it is unsure (the same wall in both).
    """

    split: str
    truth: str
    reference: str
    leave: frozenset[Part]
    unsure: frozenset[Part]
    background_unsure: bool
    polygons: tuple[tuple[tuple[float, float], ...], ...]

    def reverse(self) -> "CheckedPair | None":
        """The pair the other way round; None where polygons are tied to this one."""
        if self.polygons:
            return None
        return CheckedPair(
            self.split, self.reference, self.truth, self.leave, self.unsure, self.background_unsure, ()
        )

    def mask(self, points: Points) -> tuple[Map, Map]:
        """What may be taken, and where that is known, both [GRID, GRID] in 0..1; points of the truth."""
        take, unsure, head = (np.zeros((GRID, GRID), np.float32) for _ in range(3))
        for part, region in part_regions(points).items():
            head += region
            unsure += region * (part in self.unsure)
            take += region * (part not in self.leave)
        for corners in self.polygons:
            take = take * (1 - polygon(_in_pixels(corners)))
        if self.background_unsure:
            unsure += 1 - head
        return take, np.asarray(1 - np.clip(unsure, 0, 1), np.float32)


def load_checked(split: str, path: Path = CHECKED) -> list[CheckedPair]:
    """The checked pairs of a split (``train`` or ``val``)."""
    pairs = []
    for row in json.loads(path.read_text()):
        if row["split"] != split:
            continue
        unsure = set(row["unsure"])
        polygons = tuple(tuple((float(x), float(y)) for x, y in p) for p in row.get("polygons", []))
        pairs.append(
            CheckedPair(
                split,
                row["truth"],
                row["reference"],
                frozenset(Part(name) for name in row["leave"]),
                frozenset(Part(name) for name in unsure - {BACKGROUND}),
                BACKGROUND in unsure,
                polygons,
            )
        )
    return pairs


def _in_pixels(corners: tuple[tuple[float, float], ...]) -> NDArray[np.float32]:
    return np.asarray(corners, np.float32) * (SIDE / GRID) - 0.5
