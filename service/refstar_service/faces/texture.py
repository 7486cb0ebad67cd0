"""How fine the detail of an aligned face is, and how much texture its skin has: what a restoration must not lose."""

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from refstar_service.faces.align import TEMPLATE, TEMPLATE_SIZE
from refstar_service.faces.mask import face_mask

Map = NDArray[np.float32]

_FINE, _SMOOTH = (
    1.5,
    3.0,
)  # sigmas, pixels: texture is what the first removes; edges are what outlasts the second
_QUIET = 0.5  # share of the face that is looked at: where the smoothed light changes least
#: Of the normal distribution: standard deviation / median of the absolute value.
_OF_MEDIAN = 1.4826


def measure_texture(light: Map) -> float:
    """Standard deviation, in gray levels, of what is finer than 1.5 pixels on the even half of a face.

    ``light`` [S, S]: an aligned face. Clean photographs at 512 have 0.5 to 3, film grain and noise more, blurred and
    enlarged faces 0.3 to 1. By the median, so that lashes and hairs, which are few, do not count.
    """
    even = _even_places(light)
    finer = light - cv2.GaussianBlur(light, (0, 0), _FINE)
    return float(_OF_MEDIAN * np.median(np.abs(finer[even])))


def _even_places(light: Map) -> NDArray[np.bool_]:
    smooth = cv2.GaussianBlur(light, (0, 0), _SMOOTH)
    slope = cv2.magnitude(
        cv2.Sobel(smooth, cv2.CV_32F, 1, 0, ksize=3), cv2.Sobel(smooth, cv2.CV_32F, 0, 1, ksize=3)
    )
    inside = face_weights(len(light)) > 0.5
    return np.asarray(inside & (slope <= np.quantile(slope[inside], _QUIET)), np.bool_)


@cache
def face_weights(side: int) -> Map:
    """The mask [side, side] of a face whose points are the template's."""
    return face_mask((TEMPLATE + 0.5) * (side / TEMPLATE_SIZE) - 0.5, side)
