"""The parts of a face: where they are, what state they are in, and whether two photographs show the same state.

Regions are drawn from the dense points on the grid of the selection masks. States are few numbers per photograph
that do not change with size, exposure or white balance; two photographs conflict in a part when its state differs.
"""

from dataclasses import dataclass
from enum import Enum

import cv2
import numpy as np
from numpy.typing import NDArray

from refstar_model.judges.landmarks import SIDE, Pixels, Points, eye_distance

GRID = 64
Map = NDArray[np.float32]  # [GRID, GRID] in 0..1


class Part(Enum):
    EYES = "eyes"  # the openings with their lids
    GLASSES = "glasses"  # where a frame would be: around the eyes and over the bridge of the nose
    BROWS = "brows"
    MOUTH = "mouth"  # lips and what is between them
    MUSTACHE = "mustache"
    BEARD = "beard"  # chin and jaw
    SKIN = "skin"  # the rest inside the face's outline
    HAIR = "hair"  # above and beside the outline; a hat too
    SIDES = "sides"  # ears, below the ears, neck


#: Points of the mesh. "One" is the eye on the left of the picture.
OUTLINE = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)
EYE_ONE = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)
EYE_TWO = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)
BROW_ONE = (70, 63, 105, 66, 107, 55, 65, 52, 53, 46)
BROW_TWO = (300, 293, 334, 296, 336, 285, 295, 282, 283, 276)
LIPS = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
FRAME = (*(70, 63, 105, 66, 107, 9, 336, 296, 334, 293, 300), *(356, 340, 330, 450, 6, 230, 101, 111, 127))
LIP_TOP = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291)
MUSTACHE = (*LIP_TOP, *(426, 327, 2, 98, 206))
CHIN = (
    *(61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291),
    *(436, 416, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149, 150, 136, 172, 58, 132, 192, 216),
)
CHEEKS = ((50, 101, 36, 205), (280, 330, 266, 425))
LIDS = ((159, 145, 33, 133), (386, 374, 263, 362))  # upper, lower, outer, inner
INNER_LIPS = (13, 14, 78, 308)  # upper, lower, corners

#: How far a state may differ before the part conflicts, and the width of the doubt; see `PartState`.
LIMITS = {
    Part.EYES: (0.12, 0.03),
    Part.MOUTH: (0.10, 0.025),
    Part.GLASSES: (0.55, 0.12),
    Part.MUSTACHE: (0.60, 0.15),
    Part.BEARD: (0.60, 0.15),
}


@dataclass(frozen=True)
class PartState:
    """Numbers of one photograph.

    ``eyes``: height of both openings over their width; ``mouth``: gap between the lips over the distance of the
    eyes; the others: log of the part's fine detail over that of the cheeks (a frame or a beard raises it), and its
    darkness against the cheeks.
    """

    eyes: float
    mouth: float
    detail: dict[Part, float]
    darkness: dict[Part, float]

    def conflict(self, other: "PartState", part: Part) -> float:
        """0 for the same state to 1 for another one."""
        if part not in LIMITS:
            return 0.0
        if part is Part.EYES:
            difference = abs(self.eyes - other.eyes)
        elif part is Part.MOUTH:
            difference = abs(self.mouth - other.mouth)
        else:
            difference = abs(self.detail[part] - other.detail[part])
            difference += 2 * abs(self.darkness[part] - other.darkness[part])
        limit, doubt = LIMITS[part]
        return float(1 / (1 + np.exp(-(difference - limit) / doubt)))


def part_state(picture: Pixels, points: Points, regions: dict[Part, Map]) -> PartState:
    """States of an aligned face [256, 256, 3] with its points and `part_regions`."""
    apart = eye_distance(points)
    upper, lower = np.array([points[lid[0]] for lid in LIDS]), np.array([points[lid[1]] for lid in LIDS])
    outer, inner = np.array([points[lid[2]] for lid in LIDS]), np.array([points[lid[3]] for lid in LIDS])
    openings = np.linalg.norm(upper - lower, axis=1) / np.linalg.norm(outer - inner, axis=1)
    gap = np.linalg.norm(points[INNER_LIPS[0]] - points[INNER_LIPS[1]])

    light = cv2.GaussianBlur(picture, (0, 0), 0.7).astype(np.float32) @ np.array(
        [0.3, 0.59, 0.11], np.float32
    )
    light = np.log(light / 255 + 0.05)
    fine = (light - cv2.GaussianBlur(light, (0, 0), 3.0)) ** 2
    energy, level = (cv2.resize(m, (GRID, GRID), interpolation=cv2.INTER_AREA) for m in (fine, light))
    cheek = sum((polygon(points[list(c)]) for c in CHEEKS), np.zeros((GRID, GRID), np.float32))
    skin_energy, skin_level = _inside(energy, cheek), _inside(level, cheek)
    parts = (Part.GLASSES, Part.MUSTACHE, Part.BEARD)
    return PartState(
        float(openings.mean()),
        float(gap / apart),
        {p: float(np.log((_inside(energy, regions[p]) + 1e-4) / (skin_energy + 1e-4)) / 2) for p in parts},
        {p: float(skin_level - _inside(level, regions[p])) for p in parts},
    )


def part_regions(points: Points) -> dict[Part, Map]:
    """Where every part is; the maps add up to the head, the background is 0 in all of them."""
    unit = eye_distance(points) / 63  # grid cells, on a face of the usual size
    eyes = _grow(polygon(points[list(EYE_ONE)]) + polygon(points[list(EYE_TWO)]), unit)
    brows = _grow(polygon(points[list(BROW_ONE)]) + polygon(points[list(BROW_TWO)]), 0.6 * unit)
    lips = _grow(polygon(points[list(LIPS)]), unit)
    face = polygon(points[list(OUTLINE)])
    hair, sides = head_around(points)
    left = np.ones((GRID, GRID), np.float32)
    regions = {}
    for part, region in (
        (Part.EYES, eyes),
        (Part.MOUTH, lips),
        (Part.BROWS, brows),
        (Part.GLASSES, polygon(points[list(FRAME)])),
        (Part.MUSTACHE, polygon(points[list(MUSTACHE)])),
        (Part.BEARD, polygon(points[list(CHIN)])),
        (Part.SKIN, face),
        (Part.HAIR, hair),
        (Part.SIDES, sides),
    ):
        regions[part] = np.minimum(region, left)
        left = left - regions[part]
    return regions


def head_around(points: Points) -> tuple[Map, Map]:
    """Hair, and ears with neck: ellipses around the outline, since the mesh ends where the hair begins."""
    outline = points[list(OUTLINE)]
    center = (outline.min(0) + outline.max(0)) / 2
    half = (outline.max(0) - outline.min(0)) / 2
    axis = (np.arange(GRID) + 0.5) * (SIDE / GRID) - 0.5
    x, y = np.meshgrid(axis, axis)
    across, along = (x - center[0]) / half[0], (y - center[1]) / half[1]
    above = np.hypot(across / 1.42, along / 1.75)
    beside = np.hypot(across / 1.3, along / 1.45)
    upper = 1 / (1 + np.exp((along + 0.25) / 0.1))
    hair = (above < 1) * upper
    sides = (beside < 1) * (1 - upper)
    return hair.astype(np.float32), sides.astype(np.float32)


def polygon(corners: NDArray[np.float32]) -> Map:
    """The share of every grid cell that a polygon covers; corners [K, 2] in pixels at 256."""
    canvas = np.zeros((SIDE, SIDE), np.uint8)
    cv2.fillPoly(canvas, [np.rint(corners * 16).astype(np.int32)], 255, shift=4)
    shares = cv2.resize(canvas.astype(np.float32), (GRID, GRID), interpolation=cv2.INTER_AREA)
    return np.asarray(shares / 255, np.float32)


def _grow(region: Map, cells: float) -> Map:
    """The region and its surroundings, by about so many grid cells."""
    blurred = cv2.GaussianBlur(np.minimum(region, 1), (0, 0), max(cells, 0.1))
    return np.asarray(np.clip(blurred * 4, 0, 1), np.float32)


def _inside(values: NDArray[np.float32], region: Map) -> float:
    return float((values * region).sum() / max(float(region.sum()), 1e-6))
