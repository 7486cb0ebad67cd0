"""Pictures in colored or far too much light, brought near to daylight so that a detector knows the faces in them."""

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

#: Mean of a picture's brightest channel between which detectors know faces, and where it is brought to: gray levels.
_DARKEST, _BRIGHTEST, _MIDDLE = 40.0, 165.0, 110.0
_COLORED = 1.8  # times that the mean of one channel is another's: lamps and orange clothes reach 1.6
_SIDE = 64  # pixels of the copy that is measured


def even_light(pixels: Pixels) -> Pixels | None:
    """A copy of RGB [H, W, 3] in even light, None where the light is ordinary.

    The channels get one mean ("gray world", Buchsbaum, 1980), and a power brings that to the middle: it darkens what is
    too bright without a step where the sensor gave up.
    """
    means = cv2.resize(pixels, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).reshape(-1, 3).mean(0) + 1
    brightest = float(means.max())
    if _DARKEST <= brightest <= _BRIGHTEST and brightest <= _COLORED * means.min():
        return None
    power = np.log(_MIDDLE / 255) / np.log(min(brightest, 254) / 255)
    levels = np.arange(256)[:, None] * (brightest / means) / 255
    table = np.rint(255 * np.clip(levels, 0, 1) ** power).astype(np.uint8)
    return np.asarray(cv2.LUT(pixels, table[None]), np.uint8)
