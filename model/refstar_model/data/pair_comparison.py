"""Two clean photographs of one person, laid over each other and compared part by part and texture by texture."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from refstar_model.data.dense_points import warp, warp_field
from refstar_model.data.face_parts import GRID, LIMITS, Map, Part, part_regions, part_state
from refstar_model.data.texture import likeness, luminance, shading
from refstar_model.judges.landmarks import SIDE, Pixels, Points

Float = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Comparison:
    """What is seen of a pair, in the frame of the truth; all maps are [..., GRID, GRID]."""

    structure: Float  # [5, ...] in -1..1, bands from fine to coarse
    amount: Float  # [5, ...] in 0..1
    shading: Map  # difference of light and color, log brightness
    displacement: Map  # pixels at 512 between a place and where the reference shows it
    regions: dict[Part, Map]
    conflicts: dict[Part, float]  # 0..1, parts with a state

    @property
    def head(self) -> Map:
        return np.asarray(sum(self.regions.values()), np.float32)

    @property
    def part_conflict(self) -> Map:
        """The parts' conflicts, each in its region."""
        total = sum(self.regions[part] * value for part, value in self.conflicts.items())
        return np.asarray(total, np.float32)

    def take(self) -> Map:
        """The rules' mask in 0..1: inside the head, parts in the same state, structure that agrees."""
        broad = cv2.GaussianBlur(np.minimum(self.structure[1:4].mean(0), 1), (0, 0), 1.5)
        agree = _step(broad, 0.30, 0.07)
        # Hair and ears are less well aligned than the face and get no second chance from a part's state.
        loose = self.regions[Part.HAIR] + self.regions[Part.SIDES]
        strict = _step(broad, 0.55, 0.07)
        mixed = agree * (1 - loose) + strict * loose
        return np.asarray(self.head * (1 - self.part_conflict) * mixed, np.float32)

    def channels(self) -> Float:
        """Everything as the input of the propagating net: [CHANNELS, GRID, GRID], values around -1..1."""
        maps = [
            *self.structure,
            *self.amount,
            np.minimum(self.shading * 2, 2),
            np.minimum(self.displacement / 8, 2),
            self.part_conflict,
            *(self.regions[part] for part in Part),
            self.take(),
        ]
        return np.stack(maps).astype(np.float32)


CHANNELS = 5 + 5 + 3 + len(Part) + 1


def compare(truth: Pixels, reference: Pixels, points: Points, reference_points: Points) -> Comparison:
    """Compare two aligned photographs [256, 256, 3] by their dense points."""
    regions = part_regions(points)
    state = part_state(truth, points, regions)
    other = part_state(reference, reference_points, part_regions(reference_points))
    field = warp_field(points, reference_points)
    return _comparison(
        truth, warp(reference, field), field, regions, {p: state.conflict(other, p) for p in LIMITS}
    )


def compare_known(truth: Pixels, reference: Pixels, field: Float, points: Points) -> Comparison:
    """The same for a pseudo reference, whose geometry is known: ``field`` [256, 256, 2] says where it shows each
    place of the truth. Its parts are the truth's own, so no state can conflict."""
    return _comparison(truth, warp(reference, field), field, part_regions(points), {})


def _comparison(
    truth: Pixels, laid_over: Pixels, field: Float, regions: dict[Part, Map], conflicts: dict[Part, float]
) -> Comparison:
    structure, amount = likeness(luminance(truth), luminance(laid_over))
    face = sum(regions[p] for p in (Part.SKIN, Part.BEARD, Part.GLASSES))
    axis = np.arange(SIDE, dtype=np.float32)
    moved = np.linalg.norm(field - np.stack(np.meshgrid(axis, axis), -1), axis=-1).astype(np.float32)
    displacement = cv2.resize(moved, (GRID, GRID), interpolation=cv2.INTER_AREA) * (512 / SIDE)
    return Comparison(
        structure, amount, shading(truth, laid_over, np.asarray(face)), displacement, regions, conflicts
    )


def _step(values: Float, at: float, width: float) -> Float:
    return np.asarray(1 / (1 + np.exp(-np.clip((values - at) / width, -30, 30))), np.float32)
