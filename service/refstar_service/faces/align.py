"""Pictures that are aligned faces already: the 512 template of facexlib, at any size.

Eyes near (193, 240) and (319, 240), nose (257, 314), mouth corners (201, 371) and (313, 371), in 512 pixels.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

#: Width and height of an aligned crop may differ by this share; more means that it is not one.
SQUARE_WITHIN = 0.02


class NotAligned(ValueError):  # noqa: N818  a refusal is an answer, not a fault
    """The picture cannot be an aligned face crop."""


def is_square(width: int, height: int) -> bool:
    return abs(width - height) <= SQUARE_WITHIN * max(width, height)


def fit_aligned(pixels: Pixels, size: int) -> Pixels:
    """An aligned crop [H, W, 3] of any size brought to [size, size, 3]. Raises NotAligned unless it is square."""
    height, width = pixels.shape[:2]
    if not is_square(width, height):
        raise NotAligned(f"an aligned face crop is square, this picture has {width} x {height} pixels")
    if (width, height) == (size, size):
        return pixels
    # Block means when it shrinks (no aliasing), bilinear when it grows: degraded training faces grew that way.
    method = cv2.INTER_AREA if width > size else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, (size, size), interpolation=method), np.uint8)
