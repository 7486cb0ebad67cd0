"""Finding the faces of a photograph with the exported detector, the model folder that the service ships.

Simpler than the service's search, and enough for photographs that are good enough to train on: faces that are small,
lie on their side or are hardly there are not wanted. A test compares the points of the two.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from refstar_model.data.photos import DataError
from refstar_model.detector.geometry import CROP_TEMPLATE, cut_crop, similarity
from refstar_model.detector.network import CROP

Pixels = NDArray[np.uint8]
Points = NDArray[np.float64]

LONG_SIDE = 1280  # pixels of the largest view
LEAST_VIEW = 40  # pixels of the smallest view's longer side
MULTIPLE = 16  # of a view's sides, as the graph wants them
CANDIDATE = 0.15  # finder's score from which a place is looked at again
LEAST_SCORE = 0.5
MOST_CANDIDATES = 100
SAME_PLACE = 0.5  # distances of the eyes: two finds whose middles are nearer are one face
#: As in the service's search: how finds are looked at again (turn in radians, scale), the mean score from which one
#: stays a face then, and how far its points may move, in distances of the eyes.
OTHERWISE = ((0.3, 1.0), (-0.3, 1.0), (0.0, 1.25), (0.0, 0.8))
STEADY, STILL = 0.4, 0.07
MIRRORED = [1, 0, 2, 4, 3]  # the five points' order in a mirrored picture


@dataclass(frozen=True, eq=False)
class FoundFace:
    """``points`` [5, 2]: eyes, nose and corners of the mouth, from left to right, in pixels; ``score`` 0..1."""

    points: Points
    score: float

    @property
    def eye_distance(self) -> float:
        return float(np.linalg.norm(self.points[1] - self.points[0]))


class FaceSearch:
    """The detector of a model folder, on the CPU."""

    def __init__(self, folder: Path) -> None:
        """Raises DataError where the folder holds no detector."""
        self._detect, self._refine = (_open(folder / f"{name}.onnx") for name in ("detect", "refine"))

    def find(self, picture: Pixels) -> list[FoundFace]:
        """Of an RGB picture [H, W, 3], the surest first."""
        points, first = self._look(picture)
        for _ in range(2):  # the second look starts from the first one's points
            points, second = self._look_closer(picture, points)
        scores = np.sqrt(first * second)
        likely = scores >= LEAST_SCORE
        scores[likely] *= self._measure_steadiness(picture, points[likely])
        kept: list[FoundFace] = []
        for i in np.argsort(-scores, kind="stable"):
            face = FoundFace(points[i], float(scores[i]))
            if face.score >= LEAST_SCORE and not any(_one_face(face, other) for other in kept):
                kept.append(face)
        return kept

    def _measure_steadiness(self, picture: Pixels, points: Points) -> NDArray[np.float64]:
        """Of finds at ``points`` [n, 5, 2], 0..1: whether they stay faces, and their points in place, seen otherwise.

        What only resembles a face does so from one point of view.
        """
        logs, apart = np.zeros(len(points)), np.zeros(len(points))
        width = np.maximum(np.linalg.norm(points[:, 1] - points[:, 0], axis=1), 1e-6)
        for tilt, scale in OTHERWISE:
            seen, scores = self._look_closer(picture, _turn(points, tilt, scale))
            logs += np.log(scores + 1e-6) / len(OTHERWISE)
            apart += np.linalg.norm(seen - points, axis=2).mean(1) / width / len(OTHERWISE)
        held = np.minimum(1, np.exp(logs) / STEADY) * np.minimum(1, STILL / np.maximum(apart, 1e-6))
        return np.asarray(np.sqrt(held))

    def _look(self, picture: Pixels) -> tuple[Points, NDArray[np.float64]]:
        """Places [n, 5, 2] that may be faces, and their scores [n], of all views."""
        points, scores = [np.zeros((0, 5, 2))], [np.zeros(0)]
        for view, scale in _views(picture):
            found = dict(
                zip(("scores", "boxes", "points"), self._detect.run(None, {"image": view[None]}), strict=True)
            )
            good = found["scores"][0] >= CANDIDATE
            points.append((found["points"][0][good].astype(np.float64) + 0.5) * scale - 0.5)
            scores.append(found["scores"][0][good].astype(np.float64))
        places, sure = np.concatenate(points), np.concatenate(scores)
        order = np.argsort(-sure, kind="stable")[:MOST_CANDIDATES]
        return places[order], sure[order]

    def _look_closer(self, picture: Pixels, points: Points) -> tuple[Points, NDArray[np.float64]]:
        """Better points, and scores: means of a look at the face and one at its mirror image."""
        better, scores = points.copy(), np.zeros(len(points))
        for i, five in enumerate(points):
            matrix = similarity(five, CROP_TEMPLATE)
            crop = cut_crop(picture, matrix)
            sure, seen = self._refine.run(None, {"crops": np.stack([crop, crop[:, ::-1]])})
            both = (seen[0] + seen[1][MIRRORED] * (-1, 1) + (CROP - 1, 0)) / 2
            back = cv2.invertAffineTransform(matrix)
            better[i] = both @ back[:, :2].T + back[:, 2]
            scores[i] = np.sqrt(sure[0] * sure[1])
        return better, scores


def _open(path: Path) -> onnxruntime.InferenceSession:
    if not path.is_file():
        raise DataError(f"{path} is missing: --detector names the folder of the service's detector")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.enable_mem_reuse = False  # the plan is most of what it takes to load a graph
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _views(picture: Pixels) -> Iterator[tuple[Pixels, NDArray[np.float64]]]:
    """The picture at halving sizes, padded, and picture pixels per view pixel in x and y."""
    height, width = picture.shape[:2]
    scale = min(1.0, LONG_SIDE / max(height, width))
    source = picture
    while source is picture or scale * max(height, width) >= LEAST_VIEW:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        source = np.asarray(cv2.resize(source, size, interpolation=cv2.INTER_AREA), np.uint8)
        down, right = -size[1] % MULTIPLE, -size[0] % MULTIPLE
        # In the gray that convolutions pad with.
        view = cv2.copyMakeBorder(source, 0, down, 0, right, cv2.BORDER_CONSTANT, value=(127, 127, 127))
        yield np.asarray(view, np.uint8), np.array([width / size[0], height / size[1]])
        scale /= 2


def _turn(points: Points, tilt: float, scale: float) -> Points:
    """Points [n, 5, 2] turned by ``tilt`` and scaled around the middle of their face."""
    cosine, sine = scale * np.cos(tilt), scale * np.sin(tilt)
    middle = points.mean(1, keepdims=True)
    return np.asarray((points - middle) @ np.array([[cosine, sine], [-sine, cosine]]) + middle)


def _one_face(face: FoundFace, surer: FoundFace) -> bool:
    apart = np.linalg.norm(face.points.mean(0) - surer.points.mean(0))
    return bool(apart < SAME_PLACE * max(face.eye_distance, surer.eye_distance))
