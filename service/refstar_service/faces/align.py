"""Where a face stands, and its crop on the 512 template of facexlib.

Eyes near (193, 240) and (319, 240), nose (257, 314), mouth corners (201, 371) and (313, 371), in 512 pixels.
"""

from dataclasses import dataclass
from itertools import combinations

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from refstar_service.faces.sampling import low_pass, move_matrix, reach, scale_of, warp
from refstar_service.faces.select import is_square

Pixels = NDArray[np.uint8]
Points = NDArray[np.float64]

#: Eye at the picture's left, eye at its right, nose, mouth corner left, right; x and y on 512 x 512 pixels.
TEMPLATE: Points = np.array(
    [
        [192.98138, 239.94708],
        [318.90277, 240.19366],
        [256.63416, 314.01935],
        [201.26117, 371.41043],
        [313.08905, 371.15118],
    ]
)
TEMPLATE_SIZE = 512

#: A point this far from its place on the template counts a quarter; the nose of a turned head is that far off.
_TOLERANCE = 20.0

#: Of the five, four must come this near to their places (template pixels, a third of the distance of the eyes).
_AGREE_WITHIN = 42.0


class AlignmentError(ValueError):
    """The picture cannot be an aligned face crop, or the points cannot be those of a face."""


@dataclass(frozen=True, eq=False)
class Alignment:
    """``matrix`` [2, 3] float64 takes picture to crop coordinates; the crop has ``size`` x ``size`` pixels.

    The center of the first pixel is (0, 0) in both.
    """

    matrix: NDArray[np.float64]
    size: int

    @property
    def scale(self) -> float:
        """Crop pixels per picture pixel: above 1 when the face is smaller than the crop."""
        return scale_of(self.matrix)

    @property
    def inverse(self) -> NDArray[np.float64]:
        """[2, 3], crop to picture."""
        return np.asarray(cv2.invertAffineTransform(self.matrix), np.float64)

    def to_crop(self, points: ArrayLike) -> Points:
        """Picture points [n, 2] as crop points [n, 2]."""
        found: Points = np.asarray(points, np.float64) @ self.matrix[:, :2].T + self.matrix[:, 2]
        return found


def align(points: ArrayLike, size: int) -> Alignment:
    """The similarity (turn, one scale, shift; never a mirror) from five picture points [5, 2] to the template.

    Robust: iteratively reweighted least squares on Umeyama's closed form (1991, in the plane a complex line fit), with
    Geman and McClure's weights, begun at the best of the fits to two points. One wrong point of the five, however far
    off, does not tilt the face. Raises AlignmentError when fewer than four points come near to their places.
    """
    given = np.asarray(points, np.float64)
    if given.shape != (5, 2) or not np.isfinite(given).all():
        raise AlignmentError("a face has five points with finite coordinates")
    source, target = given[:, 0] + 1j * given[:, 1], TEMPLATE[:, 0] + 1j * TEMPLATE[:, 1]
    if np.ptp(source.real) + np.ptp(source.imag) < 1:
        raise AlignmentError("the five points of the face fall on one place")
    starts = [_fit(source[[i, j]], target[[i, j]], np.ones(2)) for i, j in combinations(range(5), 2)]
    turn, shift = min(starts, key=lambda s: _cost(s[0] * source + s[1] - target))
    for _ in range(20):
        off = np.abs(turn * source + shift - target)
        turn, shift = _fit(source, target, (1 + (off / _TOLERANCE) ** 2) ** -2)
    agree = np.abs(turn * source + shift - target) < _AGREE_WITHIN
    if agree.sum() < 4 or not np.isfinite(turn) or abs(turn) < 1e-3:
        raise AlignmentError("the five points do not lie as those of a face seen from the front")
    # Pixel edges, not centers, keep their share of the side when the crop is another size than the template.
    zoom = size / TEMPLATE_SIZE
    turn, shift = turn * zoom, (shift + 0.5 + 0.5j) * zoom - 0.5 - 0.5j
    return Alignment(_matrix(turn, shift), size)


def cut(pixels: Pixels, alignment: Alignment) -> Pixels:
    """The aligned crop [S, S, 3] of a picture [H, W, 3]; what lies beyond the border is mirrored.

    A face larger than the crop is low-passed first (no aliasing); a smaller one grows bilinearly, as degraded faces did
    when the models were trained. Only the region of the face is read, so the picture's size does not matter.
    """
    size, scale = alignment.size, alignment.scale
    corners = np.array([[0, 0], [size - 1, 0], [0, size - 1], [size - 1, size - 1]])
    inverse = alignment.inverse
    corners = corners @ inverse[:, :2].T + inverse[:, 2]
    height, width = pixels.shape[:2]
    margin = reach(scale)
    left, right = _span(corners[:, 0], margin, width)
    top, bottom = _span(corners[:, 1], margin, height)
    source, step = low_pass(pixels[top:bottom, left:right], scale)
    matrix = move_matrix(alignment.matrix, source=(left, top), step=step)
    # What is left after the low-pass is fine enough for a bilinear filter unless it nearly fills the crop's resolution.
    return np.asarray(warp(source, matrix, size, size, smooth=0.5 <= scale * step < 1), np.uint8)


def similarity(source: ArrayLike, target: ArrayLike) -> NDArray[np.float64]:
    """The least-squares similarity [2, 3] from points [n, 2] to points [n, 2], every point counting alike."""
    a, b = (np.asarray(points, np.float64) @ np.array([1, 1j]) for points in (source, target))
    turn, shift = _fit(a, b, np.ones(len(a)))
    return _matrix(turn, shift)


def fit_aligned(pixels: Pixels, size: int) -> Pixels:
    """An aligned crop [H, W, 3] of any size brought to [size, size, 3]. Raises AlignmentError unless it is square."""
    height, width = pixels.shape[:2]
    if not is_square(width, height):
        raise AlignmentError(f"an aligned face crop is square, this picture has {width} x {height} pixels")
    if (width, height) == (size, size):
        return pixels
    # Block means when it shrinks (no aliasing), bilinear when it grows: degraded training faces grew that way.
    method = cv2.INTER_AREA if width > size else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, (size, size), interpolation=method), np.uint8)


def _matrix(turn: complex, shift: complex) -> NDArray[np.float64]:
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])


def _fit(
    source: NDArray[np.complex128], target: NDArray[np.complex128], weights: NDArray[np.float64]
) -> tuple[complex, complex]:
    """Turn-and-scale and shift of the weighted least squares fit source -> target, points as complex numbers."""
    weights = weights / weights.sum()
    from_mean, to_mean = (weights * source).sum(), (weights * target).sum()
    centered = source - from_mean
    spread = (weights * np.abs(centered) ** 2).sum()
    if spread < 1e-9:
        return 0j, complex(to_mean)
    turn = (weights * centered.conj() * (target - to_mean)).sum() / spread
    return complex(turn), complex(to_mean - turn * from_mean)


def _cost(off: NDArray[np.complex128]) -> float:
    square = (np.abs(off) / _TOLERANCE) ** 2
    return float((square / (1 + square)).sum())


def _span(places: NDArray[np.float64], margin: int, length: int) -> tuple[int, int]:
    """First and last + 1 pixel to read along one axis, with what the mirror at either border needs."""
    low, high = int(np.floor(places.min())) - margin, int(np.ceil(places.max())) + margin + 1
    # Mirrored at 0, pixel -k is pixel k; mirrored at the end, end + k is end - k.
    first = min(low, 2 * length - 2 - high) if high > length else low
    last = max(high, 1 - low) if low < 0 else high
    return max(0, min(first, length - 1)), min(length, max(last, 1))
