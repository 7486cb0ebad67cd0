"""Color of a restored face matched to the picture around it; photographs without colors stay so."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Layer = NDArray[np.float32]  # [n, n, 3], gray levels

_LIGHT = np.array([0.299, 0.587, 0.114])
#: Gray levels (root mean square) by which the colors of a photograph without colors miss its tone. Of 308 photographs
#: made gray all stay below (most 2.9, with the colored noise of moderate degradation), in color all above (least 3.9).
_COLORFUL = 3.2
#: Standard deviation of the brightness, in gray levels, below which a picture is one plain surface.
_PLAIN = 2.0


def fill_inside(difference: Layer, known: NDArray[np.float32], *, slow_only: bool = False) -> Layer:
    """What to add to the restored face so that it meets the picture at the mask's edge, [n, n, 3].

    ``difference`` [n, n, 3]: input minus restored; ``known`` [n, n], 0..1: how much it counts, which is at the edge.
    Carried from there into the inside by pull and push (normalized convolution at growing scales, as in Gortler et al.,
    The Lumigraph, 1996): at the edge the picture's own shading, in the middle the mean along the edge. What the model
    did to the face itself is not looked at, so its contrast stays. ``slow_only``: only the slow part, which is a change
    of color and no detail; places far from the median count less.
    """
    if not slow_only:
        return _pull_push(difference, known, finest=1)
    at_edge = known > 0.5
    usual = np.median(difference[at_edge], 0) if at_edge.any() else np.zeros(3)
    off = np.abs(difference - usual).max(-1)
    return _pull_push(difference, known / (1 + (off / 16) ** 2) ** 2, finest=3)


def _pull_push(values: Layer, weight: NDArray[np.float32], finest: int) -> Layer:
    """Weighted means of ``values``; where the weight is little, of coarser levels. ``finest``: levels left out."""
    levels = [(values * weight[..., None], weight)]
    while min(levels[-1][1].shape) > 4:
        sums, total = levels[-1]
        levels.append((cv2.pyrDown(sums), cv2.pyrDown(total)))
    filled: Layer | None = None
    for sums, total in levels[: finest - 1 if finest else None : -1]:
        mean = sums / np.maximum(total, 1e-6)[..., None]
        if filled is None:
            # The coarsest level: where even it knows nothing, the mean of all.
            everywhere = sums.sum((0, 1)) / max(float(total.sum()), 1e-6)
            sure = np.clip(total / 0.02, 0, 1)[..., None]
            filled = mean * sure + everywhere * (1 - sure)
        else:
            size = (total.shape[1], total.shape[0])
            above = cv2.resize(filled, size, interpolation=cv2.INTER_LINEAR)
            sure = np.clip(total / 0.25, 0, 1)[..., None]
            filled = mean * sure + above * (1 - sure)
    assert filled is not None
    side = values.shape[0]
    grown = cv2.resize(np.asarray(filled, np.float32), (side, side), interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.GaussianBlur(grown, (0, 0), 1.0 * 2**finest), np.float32)


@dataclass(frozen=True, eq=False)
class Tone:
    """The one color of a photograph without colors, gray or sepia: ``table`` [256, 3], RGB by brightness."""

    table: NDArray[np.uint8]

    def of(self, pixels: Pixels) -> Pixels:
        """[H, W, 3] as bright as before, in this tone."""
        light = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
        return np.asarray(cv2.LUT(cv2.merge([light] * 3), self.table[None]), np.uint8)


def tone_of(pixels: Pixels) -> Tone | None:
    """The tone of [H, W, 3], None for a picture in colors, and for a plain surface, which tells no tone from a color.

    Without colors, what red and blue have beyond green follows from the brightness (a parabola tells how). It is looked
    at in means of a sixteenth of the side, where noise hardly counts.
    """
    small = cv2.resize(pixels, (16, 16), interpolation=cv2.INTER_AREA).reshape(-1, 3).astype(np.float64)
    light = small @ _LIGHT
    if light.std() < _PLAIN:
        return None
    apart = small[:, [0, 2]] - small[:, 1:2]
    fit = np.linalg.lstsq(_powers(light), apart, rcond=None)[0]
    if np.sqrt(((apart - _powers(light) @ fit) ** 2).mean()) > _COLORFUL:
        return None
    levels = np.arange(256.0)
    red, blue = (_powers(levels.clip(light.min(), light.max())) @ fit).T
    green = levels - _LIGHT[0] * red - _LIGHT[2] * blue
    return Tone(np.clip(np.rint(np.stack([green + red, green, green + blue], -1)), 0, 255).astype(np.uint8))


def _powers(light: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.stack([np.ones_like(light), light / 255, (light / 255) ** 2], -1)
