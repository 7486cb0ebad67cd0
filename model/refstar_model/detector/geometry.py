"""Where the refiner's crop has a face, and how a crop is cut."""

import cv2
import numpy as np
from numpy.typing import NDArray

from refstar_model.detector.network import CROP

Pixels = NDArray[np.uint8]

#: The 512 template of aligned faces (facexlib's).
TEMPLATE = np.array(
    [[192.98, 239.95], [318.90, 240.19], [256.63, 314.01], [201.26, 371.41], [313.09, 371.15]], np.float64
)
ZOOM = 1.3  # the crop shows 1 / 1.3 of the template, around CENTER
CENTER = np.array([256.0, 300.0])
#: The five points in the crop: forehead and chin are just inside.
CROP_TEMPLATE = (TEMPLATE - CENTER) * (CROP / 512 * ZOOM) + (CROP - 1) / 2


def similarity(source: NDArray[np.floating], target: NDArray[np.floating]) -> NDArray[np.float64]:
    """Least-squares similarity [2, 3] (Umeyama 1991, without reflection) taking points [K, 2] to points [K, 2]."""
    a = np.asarray(source, np.float64) @ (1, 1j)
    b = np.asarray(target, np.float64) @ (1, 1j)
    a0, b0 = a - a.mean(), b - b.mean()
    turn = (a0.conj() @ b0) / max(float((a0.conj() @ a0).real), 1e-12)
    shift = b.mean() - turn * a.mean()
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])


def cut_crop(scene: Pixels, matrix: NDArray[np.float64]) -> Pixels:
    """The crop [64, 64, 3] that ``matrix`` [2, 3] (scene to crop) shows, with every pixel of the scene in it."""
    scale, source = float(np.sqrt(abs(np.linalg.det(matrix[:, :2])))), scene
    while scale < 0.5 and min(source.shape[:2]) >= 4:
        source = cv2.resize(source, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        # A half-size pixel i lies over pixels 2 i and 2 i + 1.
        matrix = np.column_stack([2 * matrix[:, :2], matrix[:, 2] + matrix[:, :2] @ (0.5, 0.5)])
        scale *= 2
    return np.asarray(
        cv2.warpAffine(
            source, matrix, (CROP, CROP), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
        ),
        np.uint8,
    )
