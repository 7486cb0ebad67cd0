"""A plain face with two drawn eyes, and a mesh that knows where they and the mouth are."""

import cv2
import numpy as np
from mesh_points import drawn_points
from refstar_model.data.face_parts import EYE_ONE, EYE_TWO
from refstar_model.evaluation.expression import INNER_LIPS
from refstar_model.judges.landmarks import FaceMesh, MeshFace

SKIN, WHITE = (190, 160, 140), (235, 235, 235)
CENTERS = ((96.0, 120.0), (160.0, 120.0))  # of the eyes, at 256
WIDTH = 28.0  # of an eye, at 256


def almond(lift: float) -> np.ndarray:
    """Lid points [16, 2] around 0 of an eye of width 1: outer corner, lower lid, inner corner, upper lid."""
    along = np.linspace(0, 1, 9)
    lower = np.stack([along - 0.5, lift * np.sin(np.pi * along)], 1)[:-1]
    upper = np.stack([0.5 - along, -lift * np.sin(np.pi * along)], 1)[:-1]
    return np.concatenate([lower, upper])


def mesh_points(lifts: tuple[float, float] = (0.22, 0.22), gap: float = 0.0) -> np.ndarray:
    """Points [468, 2] at 256; ``lifts``: half the height of each eye, ``gap``: of the lips, shares of the widths."""
    points = drawn_points().astype(np.float32)
    for side, (eye, center, lift) in enumerate(zip((EYE_ONE, EYE_TWO), CENTERS, lifts, strict=True)):
        shape = almond(lift) * WIDTH
        points[list(eye)] = shape * ((1, 1), (-1, 1))[side] + center
    mouth = np.stack(
        [np.cos(np.linspace(np.pi, -np.pi, 21)[:-1]), np.sin(np.linspace(np.pi, -np.pi, 21)[:-1])], 1
    )
    points[list(INNER_LIPS)] = mouth * (20, 20 * gap) + (128, 185)
    return points


def drawn_eyes(
    points: np.ndarray, irises: tuple[tuple[float, float, int], ...] = ((0.5, 0.2, 70), (0.5, 0.2, 70))
) -> np.ndarray:
    """RGB [512, 512, 3]; an iris: place between outer (0) and inner corner, radius (of the width), gray level."""
    canvas = np.empty((512, 512, 3), np.uint8)
    canvas[:] = SKIN
    for side, (eye, (x, y), (place, radius, level)) in enumerate(
        zip((EYE_ONE, EYE_TWO), CENTERS, irises, strict=True)
    ):
        lids = (points[list(eye)] + 0.5) * 2 - 0.5
        inside = np.zeros((512, 512), np.uint8)
        cv2.fillPoly(inside, [np.rint(lids * 16).astype(np.int32)], 1, shift=4)
        canvas[inside > 0] = WHITE
        iris = np.zeros_like(inside)
        center = (x + (place - 0.5) * WIDTH * (1, -1)[side] + 0.5) * 2 - 0.5, (y + 0.5) * 2 - 0.5
        cv2.circle(iris, tuple(round(c * 16) for c in center), round(radius * WIDTH * 2 * 16), 1, -1, shift=4)
        canvas[(inside > 0) & (iris > 0)] = level
    return cv2.GaussianBlur(canvas, (0, 0), 1)


class FixedMesh(FaceMesh):
    """Sees the same face everywhere."""

    def __init__(self, points: np.ndarray) -> None:
        self.face = MeshFace(np.asarray(points, np.float32), 1.0)

    def look(self, picture: np.ndarray) -> MeshFace:
        return self.face
