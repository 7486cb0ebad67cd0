"""A face cut out and measured: what a row of ``faces.csv`` says, and whether it is good enough to learn from."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from refstar_model.detector.geometry import TEMPLATE, similarity
from refstar_model.preparing.finder import FoundFace

Pixels = NDArray[np.uint8]

SIDES = (256, 512)
EYES_ON_TEMPLATE = float(TEMPLATE[1, 0] - TEMPLATE[0, 0])
#: Pixels between the eyes from which a photograph is sharp at 256, and at 512.
LEAST_EYES = {256: 58.0, 512: 90.0}
#: Detail from which it really is. At 256, 260 clean photographs have 0.42 to 1.25 (half of them 0.69); the same at
#: half of the resolution up to 0.61 (0.44), at a third up to 0.38, blurred with a sigma of 1.5 pixels up to 0.31. At
#: 512, 150 clean ones have 0.50 to 1.03, the same at half of the resolution up to 0.54 (0.42).
LEAST_DETAIL = {256: 0.42, 512: 0.5}
#: Spread of the colors of a gray or toned photograph, in Lab: up to 4.9 of 80 such, at least 5.1 of 160 in color.
MOST_GRAY = 5.0
#: Of the crop, beyond the border of the photograph.
MOST_BEYOND = 0.25
#: How far a point may be from its place on the template, as a share of the distance of the eyes: more is no face that
#: can be aligned.
MOST_OFF = 0.45


class PortraitError(ValueError):
    """A photograph to leave out; the message says why."""


@dataclass(frozen=True, eq=False)
class Portrait:
    """``crops`` by side: those at which it is sharp. ``eye_distance``: pixels in the photograph, by its scale.
    ``yaw``: how far the nose is from between the eyes, as a share of their distance."""

    crops: dict[int, Pixels]
    eye_distance: float
    yaw: float
    gray: bool
    detail: float
    score: float


def cut_portrait(picture: Pixels, faces: list[FoundFace]) -> Portrait:
    """The one face of an RGB photograph, aligned. Raises PortraitError, which says what is wrong with it."""
    face = _choose(faces)
    matrix = similarity(face.points, TEMPLATE)
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))  # pixels at 512 per pixel of the photograph
    eyes = EYES_ON_TEMPLATE / scale
    placed = face.points @ matrix[:, :2].T + matrix[:, 2]
    off = float(np.linalg.norm(placed - TEMPLATE, axis=1).max()) / EYES_ON_TEMPLATE
    if off > MOST_OFF:
        raise PortraitError(
            "the face cannot be aligned: its points lie too far from those of a face seen from the front"
        )
    if eyes < LEAST_EYES[256]:
        raise PortraitError(
            f"the face is too small: {eyes:.0f} pixels between the eyes, at least {LEAST_EYES[256]:g} are needed"
        )
    if (beyond := _share_beyond(picture, matrix)) > MOST_BEYOND:
        raise PortraitError(
            f"the face is too near to the border: {beyond:.0%} of its crop is not in the photograph"
        )
    crops = {side: _cut(picture, matrix, side) for side in SIDES if eyes >= LEAST_EYES[side]}
    details = {side: measure_detail(crop) for side, crop in crops.items()}
    if details[256] < LEAST_DETAIL[256]:
        raise PortraitError(
            f"the face is too blurred: detail {details[256]:.2f}, at least {LEAST_DETAIL[256]} is needed"
        )
    kept = {side: crop for side, crop in crops.items() if details[side] >= LEAST_DETAIL[side]}
    return Portrait(kept, eyes, _measure_yaw(face), is_gray(crops[256]), details[256], face.score)


def measure_detail(crop: Pixels) -> float:
    """The finest detail of an aligned face [S, S, 3] as a share of the coarser.

    What is finer than a Gaussian of 1 pixel against what lies between those of 2 and of 4, both as the root of their
    energy around eyes, nose and mouth.
    """
    light = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY).astype(np.float32)
    once, twice, more = (cv2.GaussianBlur(light, (0, 0), sigma) for sigma in (1.0, 2.0, 4.0))
    window = _window(len(crop))
    fine, coarse = float((window * (light - once) ** 2).sum()), float((window * (twice - more) ** 2).sum())
    return float(np.sqrt(fine / max(coarse, 1e-6)))


def is_gray(crop: Pixels) -> bool:
    """Whether a photograph has one color at most: black and white, or toned."""
    lab = cv2.cvtColor(crop.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    return bool(np.hypot(lab[..., 1].std(), lab[..., 2].std()) < MOST_GRAY)


def _choose(faces: list[FoundFace]) -> FoundFace:
    if not faces:
        raise PortraitError("no face was found")
    largest, *others = sorted(faces, key=lambda face: -face.eye_distance)
    if others and others[0].eye_distance > largest.eye_distance / 2:
        raise PortraitError(f"it shows {len(faces)} faces: crop it to the person")
    return largest


def _measure_yaw(face: FoundFace) -> float:
    left, right, nose = face.points[:3]
    axis = (right - left) / max(face.eye_distance, 1e-6)
    return abs(float((nose - (left + right) / 2) @ axis)) / max(face.eye_distance, 1e-6)


def _share_beyond(picture: Pixels, matrix: NDArray[np.float64]) -> float:
    inside = np.full(picture.shape[:2], 255, np.uint8)
    return 1 - float(cv2.warpAffine(inside, matrix, (512, 512), flags=cv2.INTER_NEAREST).mean()) / 255


def _cut(picture: Pixels, matrix: NDArray[np.float64], side: int) -> Pixels:
    """The crop [side, side, 3]; what lies beyond the border is mirrored."""
    zoom = side / 512
    matrix = matrix * zoom
    matrix[:, 2] += 0.5 * zoom - 0.5
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    if scale < 1:  # warps read four pixels, however many fall into one
        picture = np.asarray(
            cv2.GaussianBlur(picture, (0, 0), 0.5 * np.sqrt(1 / scale**2 - 1) + 1e-3), np.uint8
        )
    seen = cv2.warpAffine(
        picture, matrix, (side, side), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
    )
    return np.asarray(seen, np.uint8)


def _window(side: int) -> NDArray[np.float32]:
    """Weights [side, side]: brows, eyes, nose and mouth; hair, which has detail of its own, hardly."""
    y, x = np.mgrid[:side, :side] / side
    return np.asarray(np.exp(-((x - 0.5) ** 2 + (y - 0.59) ** 2) / (2 * 0.18**2)), np.float32)
