"""How sharp a face is: whether a reference has anything to give."""

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from refstar_service.faces.align import TEMPLATE, TEMPLATE_SIZE

Pixels = NDArray[np.uint8]

#: Below it a reference is too blurred to help. Of 824 photographs all clean ones lie above (least 0.63), severely
#: degraded ones all below (most 0.27), and of moderately degraded ones, which still show a person, 98 % above
#: (middle 0.45). A clean face of 64 pixels, seen at 512, has 0.5.
LEAST_SHARPNESS = 0.3


@dataclass(frozen=True)
class _Scale:
    side: int  # the crop is measured at this side
    fine: float  # sigmas of the two gradients, pixels of that side
    coarse: float


_PERSON = _Scale(256, 1.0, 3.5)  # detail that shows who it is
_FINEST = _Scale(512, 0.7, 2.0)  # detail that only a sharp photograph has
_WINDOW = 0.18  # of the side: sigma around the middle of the points that is looked at
#: Of the fine to the coarse energy, in the middle of the photographs that are called sharp; 1 is no detail at all.
_CRISP = 3.4


def sharpness(crop: Pixels) -> float:
    """0 (nothing but blur) to 1 (crisp, as half of all clean photographs) of an aligned crop [S, S, 3] of any size.

    Light is differentiated through a fine and a coarse Gaussian (sigmas f and c). At every place the coarse gradient
    gives an edge's direction n; with t across it, the fine energy is E_f = sum (n g_f)^2 - (t g_f)^2, and E_c likewise,
    both weighted with the coarse gradient's square. The sharpness is (q - 1) / (Q - 1) with q = E_f / E_c and Q that
    of crisp photographs, cut to 0..1. A ratio knows neither contrast nor brightness. Noise has no direction: it adds
    as much along n as along t, and drops out.
    """
    light = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return float(np.clip(_crispness(light, _PERSON), 0, 1))


def finest_sharpness(light: NDArray[np.float32]) -> float:
    """The same measure at twice the resolution, of the light [S, S] of an aligned crop, and not cut to 1.

    Severely degraded faces have 0.01 to 0.03, moderately degraded ones 0.04 to 0.13, enlarged thumbnails 0.1 to 0.35,
    clean photographs at 512 0.28 to 0.75.
    """
    return _crispness(light, _FINEST)


def _crispness(light: NDArray[np.float32], scale: _Scale) -> float:
    side = scale.side
    method = cv2.INTER_AREA if light.shape[0] > side else cv2.INTER_LINEAR
    light = cv2.resize(light, (side, side), interpolation=method)
    fine, coarse = _gradient(light, scale.fine), _gradient(light, scale.coarse)
    strength = (coarse**2).sum(0)
    along = (fine * coarse).sum(0) ** 2
    across = (fine[0] * coarse[1] - fine[1] * coarse[0]) ** 2
    weight = _window(side)
    # With n = coarse / |coarse|, weighting by |coarse|^2 leaves the products as they are.
    found = float((weight * (along - across)).sum())
    expected = float((weight * strength**2).sum())
    if expected <= 1e-3:
        return 0.0
    return (found / expected - 1) / (_CRISP - 1)


def _gradient(light: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Derivatives in x and y [2, n, n] of the picture blurred by ``sigma``."""
    blurred = cv2.GaussianBlur(light, (0, 0), sigma)
    return np.stack(
        [cv2.Sobel(blurred, cv2.CV_32F, 1, 0, ksize=1), cv2.Sobel(blurred, cv2.CV_32F, 0, 1, ksize=1)]
    )


@cache
def _window(side: int) -> NDArray[np.float32]:
    """Weights [side, side]: brows, eyes, nose and mouth; hair, which has detail of its own, hardly."""
    x, y = TEMPLATE.mean(0) * side / TEMPLATE_SIZE
    places = np.arange(side)
    away = (places[None] - x) ** 2 + (places[:, None] - y) ** 2
    return np.asarray(np.exp(-away / (2 * (_WINDOW * side) ** 2)), np.float32)
