"""Dense points of an aligned face, and whether there is a face at all.

The points are the 468 of MediaPipe's face mesh, run through OpenCV; YuNet is a second opinion on whether a picture
shows a face. Both are teachers and judges only: the service never runs them.
"""

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Points = NDArray[np.float32]

COUNT = 468
SIDE = 256  # pictures are looked at in this size, and positions are in its pixels
MESH_SIDE = 192
#: x, y, side of what the mesh is shown of an aligned face, at 256. A single view jumps by about a pixel: three are
#: averaged.
VIEWS = ((28.0, 36.0, 200.0), (22.0, 26.0, 212.0), (36.0, 44.0, 184.0))
#: Corners and lids of each eye; their mean is its center.
EYES = ((33, 133, 159, 145), (362, 263, 386, 374))
#: Sides at which YuNet looks: it finds a blurred face better in a small view.
FINDER_SIDES = (128, 256)


class MeshFace(NamedTuple):
    points: Points  # [468, 2], x and y in pixels of the picture at 256, pixel centers are whole numbers; or [468, 3]
    presence: float  # logit; below 0 the mesh sees no face


class FaceMesh:
    """MediaPipe's ``face_landmark.tflite`` for faces on the template."""

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise FileNotFoundError(f"{path}: the face mesh is missing")
        self._net = cv2.dnn.readNetFromTFLite(str(path))

    def look(self, picture: Pixels) -> MeshFace:
        """The mesh of an aligned face in RGB, [256, 256, 3] or a square that is brought to it."""
        points, presence = self.look_in_depth(picture)
        return MeshFace(points[:, :2], presence)

    def look_in_depth(self, picture: Pixels) -> MeshFace:
        """The same with depth: points [468, 3], z in the same pixels, larger behind."""
        seen = [self._view(at_256(picture), *view) for view in VIEWS]
        return MeshFace(
            np.asarray(np.mean([points for points, _ in seen], 0), np.float32),
            float(np.mean([presence for _, presence in seen])),
        )

    def points(self, picture: Pixels) -> Points:
        """Points [468, 2] of an aligned face."""
        return self.look(picture).points

    def _view(self, picture: Pixels, x: float, y: float, side: float) -> tuple[NDArray[np.float64], float]:
        scale = MESH_SIDE / side
        shift = scale / 2 - 0.5
        matrix = np.array([[scale, 0, shift - x * scale], [0, scale, shift - y * scale]])
        view = cv2.warpAffine(picture, matrix, (MESH_SIDE, MESH_SIDE), flags=cv2.INTER_LINEAR)
        self._net.setInput(cv2.dnn.blobFromImage(view, 1 / 255))
        outputs = self._net.forward(self._net.getUnconnectedOutLayersNames())
        dense = next(o for o in outputs if o.size == COUNT * 3).reshape(COUNT, 3)
        presence = next(o for o in outputs if o.size == 1).item()
        inverse = cv2.invertAffineTransform(matrix)
        places = dense[:, :2] @ inverse[:, :2].T + inverse[:, 2]
        return np.column_stack([places, dense[:, 2] / scale]).astype(np.float64), float(presence)


class FaceFinder:
    """YuNet, asked one thing: is there a face?"""

    def __init__(self, path: Path, threshold: float = 0.5) -> None:
        if not path.is_file():
            raise FileNotFoundError(f"{path}: YuNet is missing")
        self._net = cv2.FaceDetectorYN.create(str(path), "", (SIDE, SIDE), threshold, 0.3, 10)

    def finds(self, picture: Pixels) -> bool:
        """Whether any view of the RGB picture shows a face."""
        for side in FINDER_SIDES:
            view = cv2.resize(picture[..., ::-1], (side, side), interpolation=cv2.INTER_AREA)
            self._net.setInputSize((side, side))
            if self._net.detect(np.ascontiguousarray(view))[1] is not None:
                return True
        return False


def eye_distance(points: Points) -> float:
    """Distance of the eyes' centers, in the points' pixels."""
    left, right = (points[list(eye)].mean(0) for eye in EYES)
    return float(np.linalg.norm(right - left))


def landmark_distance(points: Points, truth: Points) -> float:
    """Mean distance of all points from the truth's, as a share of the truth's eye distance."""
    return float(np.linalg.norm(points - truth, axis=1).mean()) / eye_distance(truth)


def at_256(picture: Pixels) -> Pixels:
    """The square picture at 256."""
    if picture.shape[0] == SIDE:
        return picture
    return np.asarray(cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)
