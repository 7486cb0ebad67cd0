"""YuNet, a face detector that an operator may put in the place of the shipped one (a file of OpenCV's model zoo)."""

import threading
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from refstar_service.engine.errors import ModelError
from refstar_service.faces.face import LEAST_SCORE, Face

Pixels = NDArray[np.uint8]

#: Long sides at which a picture is shown. YuNet finds faces of 10 to 300 pixels, and a blurred one best when it is
#: small: of 21-pixel faces all are found in a view of 160 pixels, 76 % in one of 640.
_VIEWS = (160, 320, 640, 1280)

#: Two finds that share more than this of their union are one face.
_SAME = 0.3

#: A find of which this much lies in a surer one is a part of it.
_PART = 0.7


class YuNetDetector:
    """A ``FaceDetector``. Finds of all views are merged, the surest kept.

    OpenCV's detector remembers the size it was last set to, so one picture at a time is looked at; other threads wait.
    """

    def __init__(self, path: Path) -> None:
        """Load the .onnx file. Raises ModelError when there is none or it is not a YuNet."""
        if not path.is_file():
            raise ModelError(f"{path}: there is no such file; REFSTAR_DETECTOR names a YuNet .onnx file")
        try:
            # Looking at an empty picture tells a YuNet from any other network: the outputs have names.
            self._net = cv2.FaceDetectorYN.create(str(path), "", (64, 64), LEAST_SCORE, 0.3, 200)
            self._net.detect(np.zeros((64, 64, 3), np.uint8))
        except cv2.error as error:
            raise ModelError(
                f"{path}: not a YuNet face detector that OpenCV {cv2.__version__} can run ({error.err})"
            ) from error
        self._lock = threading.Lock()
        self._label = f"yunet ({path.name})"

    @property
    def label(self) -> str:
        return self._label

    def find(self, pixels: Pixels, min_score: float = LEAST_SCORE) -> list[Face]:
        """All faces of a picture, RGB [H, W, 3], best score first."""
        longest = max(pixels.shape[:2])
        views = [view for view in _VIEWS if view < longest]
        # The picture as it is, where it is small enough, else the largest view.
        sides = [*views, longest] if longest <= _VIEWS[-1] else views
        return _merge_faces(
            [face for side in sides for face in self._seen(pixels, side / longest, min_score)]
        )

    def _seen(self, pixels: Pixels, scale: float, min_score: float) -> list[Face]:
        """Faces in one view; ``scale`` at most 1."""
        height, width = (max(1, round(side * scale)) for side in pixels.shape[:2])
        view = pixels if scale == 1 else cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
        bgr = np.ascontiguousarray(view[..., ::-1])
        with self._lock:
            self._net.setInputSize((width, height))
            self._net.setScoreThreshold(min_score)
            _, found = self._net.detect(bgr)
        if found is None:
            return []
        back = np.array([pixels.shape[1] / width, pixels.shape[0] / height])
        faces = []
        for row in found[np.isfinite(found).all(1)]:
            corner, extent = row[:2] * back, row[2:4] * back
            points = (row[4:14].reshape(5, 2) + 0.5) * back - 0.5
            box = (float(corner[0]), float(corner[1]), float(extent[0]), float(extent[1]))
            faces.append(Face(box, float(np.clip(row[14], 0, 1)), points.astype(np.float32)))
        return faces


def _merge_faces(faces: list[Face]) -> list[Face]:
    """One find per face: of those that overlap the surest, where the score is the same the larger."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda f: (-f.score, -f.size, f.box)):
        if not any(_one_face(face, other) for other in kept):
            kept.append(face)
    return kept


def _one_face(face: Face, surer: Face) -> bool:
    (ax, ay, aw, ah), (bx, by, bw, bh) = face.box, surer.box
    width, height = min(ax + aw, bx + bw) - max(ax, bx), min(ay + ah, by + bh) - max(ay, by)
    shared = max(width, 0.0) * max(height, 0.0)
    return shared > _SAME * (aw * ah + bw * bh - shared) or shared > _PART * min(aw * ah, bw * bh)
