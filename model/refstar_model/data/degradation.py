"""Making a good photograph bad: blur, down, noise, JPEG, up.

The order is the one that all published blind face restoration uses. Sizes are in pixels of the 512 template, so the
same draw means the same loss of detail for a picture read at 256 or at 512.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Degradation:
    """One drawn degradation."""

    blur: float  # sigma of the Gaussian, pixels at 512
    down: float  # factor, at 512; the picture shrinks to 512 / down
    noise: float  # sigma, grey levels of 255
    jpeg: int  # quality, 1..100


def moderate(rng: np.random.Generator) -> Degradation:
    """The moderate test level."""
    return Degradation(rng.uniform(2, 5), rng.uniform(4, 7), rng.uniform(4, 12), int(rng.integers(65, 91)))


def severe(rng: np.random.Generator) -> Degradation:
    """The severe test level: the face keeps 32 to 51 pixels."""
    return Degradation(rng.uniform(8, 11), rng.uniform(10, 16), rng.uniform(5, 15), int(rng.integers(40, 81)))


LEVELS = {"moderate": moderate, "severe": severe}


def training(rng: np.random.Generator) -> Degradation:
    """A training draw: half with blur and size correlated as in real small pictures, half free."""
    if rng.random() < 0.5:
        down = float(np.exp(rng.uniform(np.log(3), np.log(18))))
        blur = down * rng.uniform(0.45, 1.05)
    else:
        down = float(np.exp(rng.uniform(np.log(1.5), np.log(20))))
        blur = rng.uniform(0, 12)
    return Degradation(blur, down, rng.uniform(0, 18), int(rng.integers(35, 96)))


def degrade(picture: Pixels, how: Degradation, rng: np.random.Generator, size: int = 512) -> Pixels:
    """A degraded copy of an aligned face [h, h, 3], brought to ``size``."""
    side = picture.shape[0]
    scale = side / 512
    out = picture
    if how.blur * scale > 0.2:
        out = cv2.GaussianBlur(out, (0, 0), how.blur * scale)
    small = int(np.clip(round(512 / how.down), 8, side))
    out = cv2.resize(out, (small, small), interpolation=cv2.INTER_LINEAR)
    noisy = out.astype(np.float32) + rng.standard_normal(out.shape, dtype=np.float32) * how.noise
    out = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
    _, coded = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, how.jpeg])
    return np.asarray(
        cv2.resize(cv2.imdecode(coded, cv2.IMREAD_COLOR), (size, size), interpolation=cv2.INTER_LINEAR),
        np.uint8,
    )
