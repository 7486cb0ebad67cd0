"""Color of a restored face matched to the picture around it."""

import cv2
import numpy as np
from numpy.typing import NDArray

Layer = NDArray[np.float32]  # [n, n, 3], gray levels


def carried_inside(difference: Layer, mask: NDArray[np.float32], *, coarsest_only: bool = False) -> Layer:
    """What to add to the restored face so that it meets the picture at the mask's edge.

    ``difference`` [n, n, 3]: input minus restored; ``mask`` [n, n]. Known where the mask passes from 0 to 1, carried
    from there into the inside by pull and push (normalized convolution at growing scales, as in Gortler et al.,
    The Lumigraph, 1996): at the edge the picture's own shading, in the middle the mean along the edge. What the model
    did to the face itself is not looked at, so its contrast stays. ``coarsest_only``: only the slow part, which is a
    change of color and no detail, with places that stand out counting less.
    """
    known = 4 * mask * (1 - mask)
    if not coarsest_only:
        return _pull_push(difference, known, finest=1)
    slow = _pull_push(difference, known, finest=3)
    off = np.abs(difference - slow).max(-1)
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


def is_gray(pixels: NDArray[np.uint8]) -> bool:
    """No color in [H, W, 3] beyond what a JPEG's rounding leaves."""
    red, green, blue = (pixels[..., i] for i in range(3))
    apart = np.maximum(cv2.absdiff(red, green), cv2.absdiff(green, blue))
    return float(apart.mean()) < 0.75 and int(apart.max()) <= 12


def without_color(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """[H, W, 3] with three equal channels, as bright as before."""
    return np.asarray(cv2.cvtColor(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB), np.uint8)
