"""A detector that looks again where it found no face for sure: in even light, then at the picture turned.

An ordinary photograph with a face costs one look. One without any costs five, six in odd light, and never more: the
picture in quarter turns, and small, at a quarter of the cost each, half way between them.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from refstar_service.faces.face import LEAST_SCORE, Face, FaceDetector
from refstar_service.faces.light import even_light

Pixels = NDArray[np.uint8]

#: A score that hardly anything but a face has: with one such face a picture lies as it should.
SURE = 0.8
#: By how much a face must be surer in even light, and in a turned picture: every look more is one more chance to err.
EVEN_EXTRA, TURNED_EXTRA = 0.1, 0.2
#: Quarter turns anticlockwise: first those of a camera held upright, then the one of a scan upside down.
TURNS = (1, 3, 2)
#: Degrees of the looks between them, and the side in pixels of what is seen then.
DIAGONALS, SMALL_SIDE = (45, 135, 225, 315), 640
_SAME = 0.3  # intersection over union from which two finds are one face


class ThoroughDetector:
    """A ``FaceDetector`` that asks another one again and again. Boxes and points are those of the picture as given."""

    def __init__(self, detector: FaceDetector) -> None:
        self._detector = detector

    @property
    def label(self) -> str:
        return self._detector.label

    def find(self, pixels: Pixels, min_score: float = LEAST_SCORE) -> list[Face]:
        found = self._detector.find(pixels, min_score)
        if _sure(found):
            return found
        even = even_light(pixels)
        if even is not None:
            found = _merge_faces([*found, *self._detector.find(even, min(1.0, min_score + EVEN_EXTRA))])
            if _sure(found):
                return found
        seen, least = pixels if even is None else even, min(1.0, min_score + TURNED_EXTRA)
        for turn in TURNS:
            faces = self._detector.find(np.ascontiguousarray(np.rot90(seen, turn)), least)
            found += [_turned_back(face, turn, pixels.shape[1], pixels.shape[0]) for face in faces]
        if not _sure(found):
            for degrees in DIAGONALS:
                tilted, matrix = _tilt_picture(seen, degrees)
                found += [_moved_back(face, matrix) for face in self._detector.find(tilted, least)]
        return _merge_faces(found)


def _sure(faces: list[Face]) -> bool:
    return any(face.score >= SURE for face in faces)


def _turned_back(face: Face, turn: int, width: int, height: int) -> Face:
    """A face of the picture turned by ``turn`` quarters, in the picture of ``width`` x ``height``."""
    x, y, across, down = face.box
    u, v = face.points[:, 0], face.points[:, 1]
    match turn:
        case 1:
            box, points = (width - y - down, x, down, across), (width - 1 - v, u)
        case 2:
            box, points = (
                (width - x - across, height - y - down, across, down),
                (width - 1 - u, height - 1 - v),
            )
        case _:
            box, points = (y, height - x - across, down, across), (v, height - 1 - u)
    x, y, across, down = (round(float(side), 2) for side in box)
    return Face((x, y, across, down), face.score, np.stack(points, -1).astype(np.float32))


def _tilt_picture(pixels: Pixels, degrees: int) -> tuple[Pixels, NDArray[np.float64]]:
    """The picture turned anticlockwise on a gray ground that holds it, small, and the map [2, 3] to there."""
    height, width = pixels.shape[:2]
    scale = min(1.0, SMALL_SIDE / max(height, width))
    small = (
        cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else pixels
    )
    down, across = small.shape[:2]
    side = int(np.ceil(np.hypot(down, across)))
    matrix = cv2.getRotationMatrix2D(((across - 1) / 2, (down - 1) / 2), degrees, 1.0)
    matrix[:, 2] += (np.array([side - across, side - down])) / 2
    ground = (127, 127, 127)
    tilted = cv2.warpAffine(small, matrix, (side, side), flags=cv2.INTER_LINEAR, borderValue=ground)
    shrunk = np.array(
        [[across / width, 0, (across / width - 1) / 2], [0, down / height, (down / height - 1) / 2]]
    )
    return np.asarray(tilted, np.uint8), np.column_stack(
        [matrix[:, :2] @ shrunk[:, :2], matrix[:, :2] @ shrunk[:, 2] + matrix[:, 2]]
    )


def _moved_back(face: Face, matrix: NDArray[np.float64]) -> Face:
    """A face of a tilted picture where it is in the picture: its box keeps its sides, its middle and points move."""
    back = cv2.invertAffineTransform(matrix)
    scale = float(np.sqrt(abs(np.linalg.det(back[:, :2]))))
    x, y, across, down = face.box
    middle = back[:, :2] @ (x + across / 2 - 0.5, y + down / 2 - 0.5) + back[:, 2] + 0.5
    across, down = across * scale, down * scale
    box = (middle[0] - across / 2, middle[1] - down / 2, across, down)
    x, y, across, down = (round(float(side), 2) for side in box)
    points = face.points @ back[:, :2].T + back[:, 2]
    return Face((x, y, across, down), face.score, points.astype(np.float32))


def _merge_faces(faces: list[Face]) -> list[Face]:
    """Best score first; of finds that are one face the surest."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: -face.score):
        if not any(_one_face(face, other) for other in kept):
            kept.append(face)
    return kept


def _one_face(a: Face, b: Face) -> bool:
    (ax, ay, aw, ah), (bx, by, bw, bh) = a.box, b.box
    width, height = min(ax + aw, bx + bw) - max(ax, bx), min(ay + ah, by + bh) - max(ay, by)
    shared = max(width, 0.0) * max(height, 0.0)
    return shared > _SAME * (aw * ah + bw * bh - shared) or shared > 0.75 * min(aw * ah, bw * bh)
