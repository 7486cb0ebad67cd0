"""A regular pattern printed over smooth skin, in gray levels.

Decoders that draw blocks of pixels at once (pixel shuffle, strided transposed convolution) can print the same marks
into every block. The eye sees a lattice at once, no other measure here does: sharpness even takes it for detail. The
mean of all 16 x 16 tiles keeps what repeats every 16, 8, 4 or 2 pixels and averages everything else away; its peak to
trough is the measure.

Noise and JPEG leave 3 to 4 levels in the mean tile of one clean photograph, since a face has no more than some 80 tiles
of smooth skin. In the mean tile of many pictures they leave less than 1, while the lattice of a network, which is in
the same place in all of its pictures, stays. So both are measured.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from refstar_model.export.lattice import PERIOD
from refstar_model.export.restorers import SIDE, fit

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Tile = NDArray[np.float64]

SMOOTH_SIGMA = 6.0  # pixels at 512: what is left of the face then has the size of cheeks
STEEPEST = 2.0  # gray levels a pixel, of that
FARTHEST = 40.0  # gray levels of a channel from the median: a turned head leaves background in the ellipse
COARSEST = 8.0  # gray levels, standard deviation of the texture within a tile: pores, no beard, no hair
FEWEST = 16  # places of smooth skin behind each pixel of the tile of one picture


def smooth_skin(truth: Pixels) -> Mask:
    """Where the skin of an aligned face is smooth, [512, 512].

    Inside the face's ellipse without the bands of eyes, nose and mouth, where neither shading is steep nor texture
    coarse, in the color that most of these places have. Of the truth or, where there is none, of the input. In a
    profile most of them may be background.
    """
    gray = _gray(truth)
    low = cv2.GaussianBlur(fit(truth).astype(np.float32), (0, 0), SMOOTH_SIGMA)
    shade = cv2.cvtColor(low, cv2.COLOR_RGB2GRAY)
    slope = np.hypot(*(cv2.Sobel(shade, cv2.CV_32F, *way, ksize=3) / 8 for way in ((1, 0), (0, 1))))
    texture = np.sqrt(cv2.blur(_detail(gray) ** 2, (PERIOD, PERIOD)))
    smooth = _SKIN & (slope < STEEPEST) & (texture < COARSEST)
    if smooth.any():
        smooth &= np.abs(low - np.median(low[smooth], 0)).max(-1) < FARTHEST
    return np.asarray(smooth, np.bool_)


def sum_tiles(picture: Pixels, skin: Mask) -> Tile:
    """Sum and count of the detail at each of the 16 x 16 phases, [2, 256]; such sums of pictures may be added."""
    places = _PHASE[skin]
    detail = _detail(_gray(picture))[skin]
    return np.stack([np.bincount(places, w, PERIOD**2) for w in (detail, np.ones_like(detail))])


def peak_to_trough(sums: Tile, fewest: int = FEWEST) -> float | None:
    """Of the mean tile, in gray levels; None where some phase has fewer than so many places."""
    total, count = sums
    if count.min() < fewest:
        return None
    return float(np.ptp(total / count))


def common_pattern(tiles: Sequence[Tile]) -> float | None:
    """Peak to trough of the mean tile of several pictures."""
    return peak_to_trough(np.sum(tiles, 0)) if tiles else None


def _gray(picture: Pixels) -> NDArray[np.float32]:
    return np.asarray(cv2.cvtColor(fit(picture), cv2.COLOR_RGB2GRAY), np.float32)


def _detail(gray: NDArray[np.float32]) -> NDArray[np.float32]:
    # The mean over one period holds nothing of a pattern of that period: all of it stays in the rest.
    return np.asarray(gray - cv2.blur(gray, (PERIOD, PERIOD)), np.float32)


def face_ellipse() -> Mask:
    """Where a face on the template is, without its hair, [512, 512]."""
    y, x = np.mgrid[:SIDE, :SIDE]
    return np.asarray(((x - 256) / 115) ** 2 + ((y - 300) / 160) ** 2 < 1, np.bool_)


def _skin() -> Mask:
    """Forehead, cheeks and chin of a face on the template, [512, 512]."""
    y, x = np.mgrid[:SIDE, :SIDE]
    eyes = (y > 195) & (y < 275)
    nose = (abs(x - 256) < 40) & (y > 270) & (y < 345)
    mouth = ((x - 256) / 85) ** 2 + ((y - 372) / 45) ** 2 < 1
    return np.asarray(face_ellipse() & ~eyes & ~nose & ~mouth, np.bool_)


_SKIN = _skin()
_PHASE = np.add.outer(np.arange(SIDE) % PERIOD * PERIOD, np.arange(SIDE) % PERIOD)
