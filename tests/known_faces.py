"""A detector that knows where the faces of the tests' pictures are, by the picture's size: nothing is sought."""

from collections.abc import Mapping, Sequence

import numpy as np
import skimage.data
from numpy.typing import NDArray
from pictures import POINTS
from refstar_service.faces.face import LEAST_SCORE, Face

Pixels = NDArray[np.uint8]

#: The astronaut's face in scikit-image's picture of 512 x 512: x, y, width, height.
BOX = (179.0, 62.0, 90.0, 112.0)
SIZE = (512, 512)


def face_at(x: float = 0.0, y: float = 0.0, scale: float = 1.0, score: float = 0.9) -> Face:
    """The astronaut's face in a picture of her that was scaled, then moved by (x, y)."""
    left, top, width, height = (side * scale for side in BOX)
    points = (POINTS + 0.5) * scale - 0.5 + (x, y)
    return Face((left + x, top + y, width, height), score, points.astype(np.float32))


def astronauts(across: int, down: int = 1) -> tuple[Pixels, list[Face]]:
    """So many of her side by side and one above the other, and where their faces are."""
    faces = [face_at(512 * i, 512 * j) for j in range(down) for i in range(across)]
    return np.tile(skimage.data.astronaut(), (down, across, 1)), faces


class KnownFaces:
    """A FaceDetector. ``faces``: by width and height of the picture; in others there are none."""

    def __init__(self, faces: Mapping[tuple[int, int], Sequence[Face]] | None = None) -> None:
        self.faces = {SIZE: [face_at()]} if faces is None else faces
        self.label = "known faces 1"
        self.asked: list[tuple[int, int]] = []

    def find(self, pixels: Pixels, min_score: float = LEAST_SCORE) -> list[Face]:
        size = (pixels.shape[1], pixels.shape[0])
        self.asked.append(size)
        return [face for face in self.faces.get(size, ()) if face.score >= min_score]
