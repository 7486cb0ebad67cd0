"""Resampling by a similarity, with the low-pass that shrinking needs.

OpenCV's warps read a few source pixels around each place however much the picture shrinks: fine patterns come out
as coarse ones that were never there. Here the source is low-passed first, as far as its scale asks for.
"""

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Matrix = NDArray[np.float64]

#: Down to this scale one filter does the work; smaller ones are halved first, which is cheaper than a longer filter.
_HALVE_BELOW = 1 / 3

#: Side lobes of the filter, on either side, and where it ends as a share of what the target's pixels can follow:
#: measured on a zone plate, patterns a third too fine for the target come through with less than a fifth.
_LOBES = 2
_CUTOFF = 0.9


def low_pass(pixels: NDArray[np.generic], scale: float) -> tuple[NDArray[np.generic], int]:
    """A copy fit to be sampled at ``scale`` target pixels per source pixel, and its step in source pixels.

    Pixel (x, y) of the copy stands at (step * x, step * y) of the source. From scale 1 on the source is returned.
    """
    step = 1
    while scale * step < _HALVE_BELOW and min(pixels.shape[:2]) > 1:
        pixels = np.asarray(cv2.pyrDown(pixels))
        step *= 2
    if scale * step < 1:
        kernel = _kernel(round(scale * step, 3))
        pixels = np.asarray(cv2.sepFilter2D(pixels, -1, kernel, kernel, borderType=cv2.BORDER_REFLECT_101))
    return pixels, step


def reach(scale: float) -> int:
    """How many source pixels around its place a sample at ``scale`` looks at, on each side."""
    return int(np.ceil((2 * _LOBES + 2) / min(scale, 1.0))) + 3


@lru_cache(maxsize=256)
def _kernel(scale: float) -> NDArray[np.float32]:
    """Lanczos: a sinc that ends where the target's pixels cannot follow, under a wider sinc as window."""
    half = int(np.ceil(_LOBES / (scale * _CUTOFF)))
    x = np.arange(-half, half + 1) * scale * _CUTOFF
    taps = np.sinc(x) * np.sinc(x / _LOBES) * (np.abs(x) < _LOBES)
    return np.asarray(taps / taps.sum(), np.float32)


def warp(
    pixels: NDArray[np.generic],
    matrix: Matrix,
    width: int,
    height: int,
    *,
    smooth: bool = True,
    mirrored: bool = True,
) -> NDArray[np.generic]:
    """``pixels`` seen through ``matrix`` [2, 3] (source -> target, pixel centers whole numbers).

    ``smooth``: cubic, else bilinear. ``mirrored``: beyond the border, else 0. No low-pass: give what ``low_pass``
    returned, and its step in the matrix.
    """
    method = cv2.INTER_CUBIC if smooth else cv2.INTER_LINEAR
    border = cv2.BORDER_REFLECT_101 if mirrored else cv2.BORDER_CONSTANT
    if smooth:
        # OpenCV's cubic warp takes more than twice as long for three channels together as for one by one, and for bytes
        # than for floats.
        planes = [
            cv2.warpAffine(plane, matrix, (width, height), flags=method, borderMode=border)
            for plane in cv2.split(pixels.astype(np.float32, copy=False))
        ]
        seen = cv2.merge(planes)
    else:
        seen = cv2.warpAffine(pixels, matrix, (width, height), flags=method, borderMode=border)
    return to_bytes(seen) if smooth and pixels.dtype == np.uint8 else np.asarray(seen)


def to_bytes(values: NDArray[np.generic]) -> Pixels:
    """Rounded and cut to 0..255."""
    return np.asarray(cv2.addWeighted(values, 1, values, 0, 0, dtype=cv2.CV_8U), np.uint8)


def regrain(matrix: Matrix, scale: float) -> Matrix:
    """The same map for a target with ``scale`` as many pixels per side: edges, not centers, keep their places."""
    out = matrix * scale
    out[:, 2] += 0.5 * scale - 0.5
    return out


def coarse(matrix: Matrix, step: float) -> Matrix:
    """The same map for a source whose pixels are ``step`` x ``step`` blocks of the former."""
    return move_matrix(matrix, source=(0.5 * step - 0.5, 0.5 * step - 0.5), step=step)


def scale_of(matrix: Matrix) -> float:
    """Target pixels per source pixel of a similarity."""
    return float(np.hypot(matrix[0, 0], matrix[1, 0]))


def move_matrix(matrix: Matrix, *, source: tuple[float, float] = (0, 0), step: float = 1) -> Matrix:
    """The same map for a source that is a part of the whole, beginning at ``source`` (x, y) with ``step``."""
    out = matrix.copy()
    out[:, 2] += matrix[:, :2] @ np.asarray(source, np.float64)
    out[:, :2] *= step
    return out
