"""The faces of a photograph: found, and chosen or passed over."""

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from refstar_service.faces.face import Box, Face, FaceDetector
from refstar_service.faces.select import NO_FACE_FOUND, Choice, FaceMode, choose
from refstar_service.restoration.knobs import Knobs

Pixels = NDArray[np.uint8]

#: Most faces restored in one picture. Each waits for the model as two crops in memory (1.6 MB at 512 pixels), and a
#: crowd of a thousand would hold it up for minutes. If there are more, the largest are kept.
MOST_FACES = 100
TOO_MANY_FACES = "too-many-faces"

#: A box that was asked for is looked at with its surroundings: a face is found by more than its own pixels.
_SURROUNDINGS = 1.0  # of the box's size, on every side
_CLOSE_UP = 128  # side of the box in the closer look, pixels; larger ones are not shrunk
_LARGEST_ZOOM = 8.0
_SAME = 0.5  # intersection over union from which two faces are one


def find_faces(pixels: Pixels, knobs: Knobs, detector: FaceDetector) -> tuple[Choice, ...]:
    """Every face of the picture [H, W, 3], best score first, then the requested boxes that hold none."""
    size = (pixels.shape[1], pixels.shape[0])
    faces = list(detector.find(pixels, knobs.min_score))
    choices = choose(faces, knobs.faces, size, min_face=knobs.min_face, boxes=knobs.boxes)
    if knobs.faces == FaceMode.BOXES:
        more: list[Face] = []
        for box in (choice.box for choice in choices if choice.reason == NO_FACE_FOUND):
            face = _look_closer(pixels, box, detector, knobs.min_score)
            if face is not None and all(_overlap(face.box, other.box) < _SAME for other in [*faces, *more]):
                more.append(face)
        if more:
            choices = choose([*faces, *more], knobs.faces, size, min_face=knobs.min_face, boxes=knobs.boxes)
    return _not_too_many(choices)


def _look_closer(pixels: Pixels, box: Box, detector: FaceDetector, min_score: float) -> Face | None:
    """The surest face whose center is in the box, sought in the box's surroundings alone and enlarged."""
    x, y, width, height = box
    around = _SURROUNDINGS * max(width, height)
    left, top = max(0, int(x - around)), max(0, int(y - around))
    right = min(pixels.shape[1], int(x + width + around) + 1)
    bottom = min(pixels.shape[0], int(y + height + around) + 1)
    if right <= left or bottom <= top:
        return None  # beyond the picture
    view = pixels[top:bottom, left:right]
    zoom = min(max(_CLOSE_UP / max(width, height, 1.0), 1.0), _LARGEST_ZOOM)
    if zoom > 1:
        wanted = (round(view.shape[1] * zoom), round(view.shape[0] * zoom))
        view = np.asarray(cv2.resize(view, wanted, interpolation=cv2.INTER_CUBIC), np.uint8)
    zoom_x, zoom_y = view.shape[1] / (right - left), view.shape[0] / (bottom - top)
    for face in detector.find(np.ascontiguousarray(view), min_score):
        fx, fy, face_width, face_height = face.box
        found = (left + fx / zoom_x, top + fy / zoom_y, face_width / zoom_x, face_height / zoom_y)
        center_x, center_y = found[0] + found[2] / 2, found[1] + found[3] / 2
        if x <= center_x <= x + width and y <= center_y <= y + height:
            # Centers of pixels are whole numbers, so their edges, not they themselves, scale with the picture.
            points = (face.points + 0.5) / (zoom_x, zoom_y) - 0.5 + (left, top)
            return Face(found, face.score, points.astype(np.float32))
    return None


def _not_too_many(choices: Sequence[Choice]) -> tuple[Choice, ...]:
    chosen = [choice.face for choice in choices if choice.chosen and choice.face is not None]
    if len(chosen) <= MOST_FACES:
        return tuple(choices)
    kept = {id(face) for face in sorted(chosen, key=lambda face: -face.size)[:MOST_FACES]}
    return tuple(
        replace(choice, chosen=False, reason=TOO_MANY_FACES)
        if choice.chosen and id(choice.face) not in kept
        else choice
        for choice in choices
    )


def _overlap(a: Box, b: Box) -> float:
    """Intersection over union."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    shared = max(width, 0.0) * max(height, 0.0)
    union = a[2] * a[3] + b[2] * b[3] - shared
    return shared / union if union > 0 else 0.0
