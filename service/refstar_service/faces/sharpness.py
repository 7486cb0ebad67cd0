"""How sharp a face is: whether a reference has anything to give."""

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


_SIDE = 256  # the crop is measured at this side: finer detail of a 512 crop tells nothing of the person
_FINE, _COARSE = 1.0, 3.5  # sigmas of the two gradients, pixels of that side
_FINEST, _FINER = 0.7, 2.0  # the same at 512, for detail that only a sharp photograph has
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
    method = cv2.INTER_AREA if light.shape[0] > _SIDE else cv2.INTER_LINEAR
    light = cv2.resize(light, (_SIDE, _SIDE), interpolation=method)
    return float(np.clip(_measure(light, _FINE, _COARSE, _window()), 0, 1))


def finest_sharpness(light: NDArray[np.float32], weights: NDArray[np.float32]) -> float:
    """The same measure of finer detail in a close-up at 512 (`cut_close_up`), with its weights, and not cut to 1.

    Severely degraded faces have 0.01 to 0.03, moderately degraded ones 0.04 to 0.13, enlarged thumbnails 0.1 to 0.35,
    clean photographs 0.28 to 0.75.
    """
    return _measure(light, _FINEST, _FINER, weights)


def _measure(light: NDArray[np.float32], fine: float, coarse: float, weights: NDArray[np.float32]) -> float:
    (fine_x, fine_y), (x, y) = _gradient(light, fine), _gradient(light, coarse)
    strength = x * x + y * y
    along, across = fine_x * x + fine_y * y, fine_x * y - fine_y * x
    # With n = coarse / |coarse|, weighting by |coarse|^2 leaves the products as they are.
    found = float(np.vdot(weights, along * along - across * across))
    expected = float(np.vdot(weights, strength * strength))
    return (found / expected - 1) / (_CRISP - 1) if expected > 1e-3 else 0.0


def _gradient(light: NDArray[np.float32], sigma: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Derivatives in x and y [n, n] of the picture blurred by ``sigma``."""
    blurred = cv2.GaussianBlur(light, (0, 0), sigma)
    x, y = (cv2.Sobel(blurred, cv2.CV_32F, across, 1 - across, ksize=1) for across in (1, 0))
    return np.asarray(x, np.float32), np.asarray(y, np.float32)


@cache
def _window() -> NDArray[np.float32]:
    """Weights [n, n]: brows, eyes, nose and mouth; hair, which has detail of its own, hardly."""
    x, y = TEMPLATE.mean(0) * _SIDE / TEMPLATE_SIZE
    places = np.arange(_SIDE)
    away = (places[None] - x) ** 2 + (places[:, None] - y) ** 2
    return np.asarray(np.exp(-away / (2 * (_WINDOW * _SIDE) ** 2)), np.float32)
