"""Whether a restored face may replace the one in the picture: it must agree with that, and be no worse.

Thresholds were set on 1,836 pairs of a face and its restoration by refstar 0.3.2 (degraded, old, clean, with things
before the face) and, of those without references, by another network; docs/faces.md has the shares of each kind.
"""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from refstar_service.faces.close_up import cut_close_up, weigh_close_up, weigh_face, weigh_middle
from refstar_service.faces.sharpness import finest_sharpness
from refstar_service.faces.texture import measure_texture

Pixels = NDArray[np.uint8]
Map = NDArray[np.float32]

#: Why a face is left as it was.
ALREADY_SHARP, NOT_PLAUSIBLE = "already-sharp", "not-plausible"

_LEAST_SIDE = 256  # of a crop: a smaller one has no detail that could be judged

_SHARP = 0.15  # `finest_sharpness` of a face that can be sharp already: 98 of 100 moderately degraded ones have less
#: By so much the result must be sharper, by the sharpness of the face: the limit grows from 0.2, which enlarged
#: thumbnails have, to 0.3, which most clean faces exceed. System 3 returns these 1.34 times as sharp at most.
_SOFT, _CRISP = 0.2, 0.3
_SHARPER, _CRISPER = 1.1, 1.35
#: A face whose texture grew by so much was coarsely coded, and is smooth no longer; one whose strong noise fell by so
#: much has been cleaned. Both are better, though no sharper.
_GROWN, _NOISE, _CLEANED = 1.5, 6.0, 0.7
#: Below that noise, texture is film grain and pores. A result that loses so much of them is waxen, and must be as much
#: sharper as this. Portraits that came back worse to the eye had kept 0.55 and 0.75 of it; shares: docs/faces.md.
_WAXEN, _FAR_SHARPER = 0.8, 1.4

#: Fine detail is a band between these sigmas, pixels of a close-up; it is looked at in the two fifths of the blocks
#: that have most of it.
_FINE, _LESS_FINE, _DETAIL_BLOCK, _PLAIN_SHARE = 0.7, 2.5, 16, 0.6
#: Share of its fine detail that a sharp face must keep. Enlarged thumbnails that gained have 1.03 at least; engravings
#: and portraits that came back waxen or smeared, 0.45 to 0.76.
_KEPT_DETAIL = 0.8

#: Structure is compared at this side, between these sigmas.
_COARSE_SIDE, _BLUR, _SURROUNDINGS = 64, 2.0, 8.0
_AGREEMENT = 0.9  # its correlation in the face: 0.97 at least on severely degraded ones, 0.79 behind bars
#: Height, in gray levels, of a tile that repeats all over the change: at most 4.1 and 7.1 on degraded faces, at least 9
#: and 14 behind bars.
_TILES = {8: 6.0, 16: 10.0}
_CALM = 16.0  # variance of light, gray levels squared, beyond which a place says little about a tile


def find_objection(before: Pixels, after: Pixels) -> str | None:
    """Why the face [S, S, 3] must stay as it was ``before``; None where ``after`` is plausible and better.

    Not of crops below 256 pixels.
    """
    if len(before) < _LEAST_SIDE:
        return None
    light, restored = (cv2.cvtColor(p, cv2.COLOR_RGB2GRAY) for p in (before, after))
    if not _is_same_structure(light, restored):
        return NOT_PLAUSIBLE
    near, near_restored = cut_close_up(light), cut_close_up(restored)
    if _has_pattern(near, near_restored):
        return NOT_PLAUSIBLE
    return None if _is_better(near, near_restored) else ALREADY_SHARP


def _is_better(near: Map, near_restored: Map) -> bool:
    middle = weigh_middle()
    sharpness = finest_sharpness(near, middle)
    if sharpness < _SHARP:
        return True
    texture, left = measure_texture(near), measure_texture(near_restored)
    if texture > _NOISE and left < _CLEANED * texture:
        return True
    if _kept_detail(near, near_restored) < _KEPT_DETAIL:
        return False
    gain = finest_sharpness(near_restored, middle) / sharpness
    if gain >= _FAR_SHARPER:
        return True
    if gain >= np.interp(sharpness, (_SOFT, _CRISP), (_SHARPER, _CRISPER)):
        return left >= _WAXEN * texture
    return left >= _GROWN * texture


def _kept_detail(near: Map, near_restored: Map) -> float:
    """Of the fine detail of a close-up [256, 256], the share that its restoration still has: the slope of the one over
    the other, the mean over blocks. Above 1 where it became stronger."""
    detail, restored = (
        cv2.GaussianBlur(each, (0, 0), _FINE) - cv2.GaussianBlur(each, (0, 0), _LESS_FINE)
        for each in (near, near_restored)
    )
    blocks = (len(near) // _DETAIL_BLOCK,) * 2
    energy, common = (
        cv2.resize(detail * each, blocks, interpolation=cv2.INTER_AREA) for each in (detail, restored)
    )
    detailed = energy >= np.quantile(energy, _PLAIN_SHARE)
    return float((common[detailed] / np.maximum(energy[detailed], 1e-6)).mean())


def _is_same_structure(light: Pixels, restored: Pixels) -> bool:
    """Whether what is larger than a lip lies where it lay: light and dark may not change places."""
    weights = weigh_face(_COARSE_SIDE)
    a, b = (_take_structure(each, weights) for each in (light, restored))
    together, ours, theirs = (float(np.vdot(weights * x, y)) for x, y in ((a, b), (a, a), (b, b)))
    return together >= _AGREEMENT * math.sqrt(ours * theirs)


def _take_structure(light: Pixels, weights: Map) -> Map:
    small = cv2.resize(light, (_COARSE_SIDE, _COARSE_SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    band = cv2.GaussianBlur(small, (0, 0), _BLUR) - cv2.GaussianBlur(small, (0, 0), _SURROUNDINGS)
    return np.asarray(band - (weights * band).sum() / weights.sum(), np.float32)


def _has_pattern(light: Map, restored: Map) -> bool:
    """Whether the restoration printed something that repeats every 8 or 16 pixels."""
    detail = light - cv2.blur(light, (16, 16))
    weights = weigh_close_up() / (1 + cv2.blur(detail * detail, (16, 16)) / _CALM)
    change = restored - light
    return any(_tile_height(change, weights, period) > most for period, most in _TILES.items())


def _tile_height(change: Map, weights: Map, period: int) -> float:
    """Peak to trough of the weighted mean tile [period, period] of a change [S, S]."""
    fine = change - cv2.blur(change, (period, period))
    total, weight = (_fold(each, period) for each in (weights * fine, weights))
    return float(np.ptp(total / weight))


def _fold(values: Map, period: int) -> Map:
    """The sum over all tiles of a map [S, S]; what is over at the right and below is left out."""
    tiles = len(values) // period
    whole = values[: tiles * period, : tiles * period]
    # Rows first: they lie one after the other in memory.
    rows = whole.reshape(tiles, period, tiles * period).sum(0)
    return np.asarray(rows.reshape(period, tiles, period).sum(1), np.float32)
