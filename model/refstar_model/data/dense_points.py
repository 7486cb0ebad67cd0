"""The smooth warp that lays one photograph of a face over another, from the dense points of both.

Pixel centers are whole numbers; every position is in pixels of the picture at ``SIDE``.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from refstar_model.judges.landmarks import SIDE, Pixels, Points


def warp_field(target: Points, source: Points, side: int = SIDE, sigma: float = 5.0) -> NDArray[np.float32]:
    """Where in the source each place of the target is found: [side, side, 2], x and y.

    The best affine map of the points, plus what it leaves over, spread by a Gaussian of ``sigma`` pixels; away from
    the face only the affine map is left.
    """
    ones = np.ones((len(target), 1))
    affine = np.linalg.lstsq(np.hstack([target, ones]), source, rcond=None)[0]
    left_over = source - np.hstack([target, ones]) @ affine
    step = 4
    axis = np.arange(0, side + step, step, dtype=np.float64)
    x, y = np.meshgrid(axis, axis)
    places = np.stack([x, y], -1).reshape(-1, 2)
    near, at = places.astype(np.float32), np.asarray(target, np.float32)
    distance = (near**2).sum(1)[:, None] - 2 * near @ at.T + (at**2).sum(1)
    weight = np.exp(-distance / np.float32(2 * sigma**2))
    # Without the constant the nearest point would rule the background, however far it is.
    bend = weight @ left_over / (weight.sum(1, keepdims=True) + 0.2)
    coarse = (np.hstack([places, np.ones((len(places), 1))]) @ affine + bend).reshape(len(axis), -1, 2)
    pixel = np.arange(side, dtype=np.float32) / step
    return np.stack(
        [
            cv2.remap(coarse[..., c].astype(np.float32), *np.meshgrid(pixel, pixel), cv2.INTER_LINEAR)
            for c in range(2)
        ],
        -1,
    )


def warp(picture: Pixels, field: NDArray[np.float32]) -> Pixels:
    """The picture seen through a warp field of its size; beyond its edge it goes on with its last pixels."""
    return np.asarray(
        cv2.remap(picture, field[..., 0], field[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE),
        np.uint8,
    )


def inverse_field(field: NDArray[np.float32]) -> NDArray[np.float32]:
    """The field that undoes a smooth one: where ``field`` says that picture B shows at q what A shows at field(q), the
    result says where B shows each place of A. Both [side, side, 2]; exact to about a tenth of a pixel for bends whose
    slope is below 1/2."""
    side = field.shape[0]
    axis = np.arange(side, dtype=np.float32)
    places = np.stack(np.meshgrid(axis, axis), -1)
    offset = field - places
    found = places - offset
    for _ in range(8):
        there = cv2.remap(
            offset, found[..., 0], found[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        found = places - there
    return np.asarray(found, np.float32)
