"""A face that was found: where it is, how sure, and its five points."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

#: x, y, width, height in pixels of the upright picture.
Box = tuple[float, float, float, float]

#: Score from which a find is a face, unless the caller says otherwise.
LEAST_SCORE = 0.6


@dataclass(frozen=True, eq=False)
class Face:
    """``box``: x, y, width, height in pixels of the upright picture. ``score`` 0..1.

    ``points`` [5, 2], x and y: the eye at the left of the face as it looks upright, the one at its right, nose, mouth
    corner left, right. The center of the first pixel is (0, 0).
    """

    box: Box
    score: float
    points: NDArray[np.float32]

    @property
    def size(self) -> float:
        """Side of the square with the area of the box, in pixels."""
        return float(np.sqrt(max(self.box[2], 0.0) * max(self.box[3], 0.0)))


class FaceDetector(Protocol):
    """Finds faces. ``label`` names it in reports."""

    @property
    def label(self) -> str: ...

    def find(self, pixels: NDArray[np.uint8], min_score: float = LEAST_SCORE) -> list[Face]:
        """All faces of a picture, RGB [H, W, 3], with at least ``min_score``, best first. Several threads may ask."""
        ...
