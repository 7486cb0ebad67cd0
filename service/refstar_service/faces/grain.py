"""Grain: a restored face is smooth, and in a grainy photograph that shows. So it gets the grain of its surroundings."""

from functools import cache
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from refstar_service.faces.close_up import cut_close_up, weigh_close_up, weigh_face

Pixels = NDArray[np.uint8]
Map = NDArray[np.float32]

_SIGMAS = (0.0, 1.0, 2.0, 4.0)  # between each two lies a band; coarser grain than the last is texture
_BLOCK = 16  # pixels of a crop
#: Of the blocks by their energy: grain is everywhere, and where there is least of all else it is alone.
_ALONE = 1 / 3
_LEAST_SIDE = 256  # of a crop: a smaller one tells nothing of grain
_FEWEST = 24  # blocks outside the face that tell what the grain is
_LEAST, _MOST = 0.7, 14.0  # gray levels that are added
_RANGE = 24.0  # gray levels next to black and white in which grain fades


def match_grain(restored: Pixels, crop: Pixels) -> Pixels:
    """``restored`` [S, S, 3] with the grain that ``crop`` has outside the face, if it has more; in light only.

    Each band's standard deviation is measured on the plainest third of the blocks outside the face in the crop, and
    inside it in the restored picture; what is missing is added as noise of that band. The noise is the same for every
    face of a size, so that results repeat.
    """
    side = len(crop)
    if side < _LEAST_SIDE:
        return restored
    light, drawn = (cv2.cvtColor(p, cv2.COLOR_RGB2GRAY).astype(np.float32) for p in (crop, restored))
    weights = weigh_face(side)
    wanted = _measure(light, weights < 0.02)
    present = _measure(cut_close_up(drawn), weigh_close_up() > 0.9)
    if wanted is None or present is None:
        return restored
    missing = np.sqrt(np.maximum(wanted**2 - present**2, 0))
    amount = float(np.sqrt((missing**2).sum()))
    if amount < _LEAST:
        return restored
    missing *= min(1.0, _MOST / amount)
    grain = np.zeros_like(drawn)
    for more, noise in zip(missing, _noise(side), strict=True):
        grain = cv2.scaleAdd(noise, float(more), grain)
    fading = np.minimum(drawn, 255 - drawn) / np.float32(_RANGE)
    grain = cv2.multiply(grain, np.minimum(fading, 1))
    return np.asarray(cv2.add(restored, cv2.merge([grain] * 3), dtype=cv2.CV_8U), np.uint8)


def _measure(light: Map, where: NDArray[np.bool_]) -> NDArray[np.float64] | None:
    """Standard deviation by band, gray levels; None where too few blocks lie wholly in ``where`` [S, S]."""
    blocks = len(light) // _BLOCK
    inside = _block_means(where.astype(np.float32), blocks) > 0.99
    means = _block_means(light, blocks)
    inside &= (means > _RANGE) & (means < 255 - _RANGE)
    if inside.sum() < _FEWEST:
        return None
    variances = np.stack([_block_means(band * band, blocks)[inside] for band in _split(light)])
    total = variances.sum(0)
    plain = total <= np.quantile(total, _ALONE)
    return np.asarray(np.sqrt(variances[:, plain].mean(1)), np.float64)


def _block_means(values: Map, blocks: int) -> Map:
    side = blocks * _BLOCK
    small = cv2.resize(values[:side, :side], (blocks, blocks), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32)


def _split(light: Map) -> list[Map]:
    levels = [light if sigma == 0 else cv2.GaussianBlur(light, (0, 0), sigma) for sigma in _SIGMAS]
    return [np.asarray(fine - coarse, np.float32) for fine, coarse in pairwise(levels)]


@cache
def _noise(side: int) -> Map:
    """Noise of every band [bands, S, S], each of standard deviation 1."""
    white = np.random.default_rng(0).standard_normal((side, side), dtype=np.float32)
    return np.stack([band / band.std() for band in _split(white)])
