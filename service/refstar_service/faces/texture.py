"""How much texture, grain and noise among it, the skin of a face has."""

import cv2
import numpy as np
from numpy.typing import NDArray

from refstar_service.faces.close_up import weigh_close_up

Map = NDArray[np.float32]

_FINE, _SMOOTH = (
    1.5,
    3.0,
)  # sigmas, pixels: texture is what the first removes; edges are what outlasts the second
_EVEN = 0.5  # share of the face that is looked at: where the smoothed light changes least
#: Of the normal distribution: standard deviation / median of the absolute value.
_OF_MEDIAN = 1.4826


def measure_texture(light: Map) -> float:
    """Standard deviation, in gray levels, of what is finer than 1.5 pixels on the even half of a face.

    ``light`` [256, 256]: a close-up (`cut_close_up`). Clean photographs have 0.5 to 3, film grain and noise more,
    blurred and enlarged faces 0.3 to 1. By the median, so that lashes and hairs, which are few, do not count.
    """
    smooth = cv2.GaussianBlur(light, (0, 0), _SMOOTH)
    across, down = (cv2.Sobel(smooth, cv2.CV_32F, x, 1 - x, ksize=3) for x in (1, 0))
    fine = cv2.GaussianBlur(light, (0, 0), _FINE)
    # A quarter of the places tells as much as all, and sorting them costs more than the filters.
    inside = weigh_close_up()[::2, ::2] > 0.5
    across, down, light, fine = (each[::2, ::2][inside] for each in (across, down, light, fine))
    slopes, finest = across * across + down * down, np.abs(light - fine)
    even = slopes <= np.partition(slopes, int(_EVEN * len(slopes)))[int(_EVEN * len(slopes))]
    return float(_OF_MEDIAN * np.median(finest[even]))
