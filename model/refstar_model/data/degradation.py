"""Making a good photograph bad: blur, down, noise, JPEG, up.

The order is the one that all published blind face restoration uses. Sizes are in pixels of the 512 template, so the
same draw means the same loss of detail for a picture read at 256 or at 512. Real pictures often went that way twice
(a phone, then a chat): the second-order option does, after Real-ESRGAN (arXiv 2107.10833, fig. 2).
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
    earlier: "Earlier | None" = None  # what the picture had been through before


@dataclass(frozen=True)
class Earlier:
    """The first of two orders."""

    blur_x: float  # sigma along x and along y, pixels at 512
    blur_y: float
    size: float  # the picture's side after it, as a share of 512
    interpolation: int  # cv2's
    noise: float  # sigma, grey levels of 255
    grey: bool  # the same noise in all channels
    jpeg: int


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


def second_order(rng: np.random.Generator) -> Degradation:
    """A training draw of two orders.

    The first has the ranges of Ada-RefSR's Real-ESRGAN settings (sigma 0.2-1.5, half of them not round; size 0.3-1.5;
    noise 1-15, 40 % grey; JPEG 60-95). The second is an ordinary draw: theirs is made for one factor, 4, ours must
    reach faces of 30 pixels.
    """
    sigma = rng.uniform(0.2, 1.5, 2) if rng.random() < 0.5 else np.repeat(rng.uniform(0.2, 1.5), 2)
    earlier = Earlier(
        float(sigma[0]),
        float(sigma[1]),
        float(rng.uniform(0.3, 1.5)),
        int(rng.choice([cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_CUBIC])),
        rng.uniform(1, 15),
        bool(rng.random() < 0.4),
        int(rng.integers(60, 96)),
    )
    last = training(rng)
    return Degradation(last.blur, last.down, last.noise, last.jpeg, earlier)


def degrade(
    picture: Pixels, how: Degradation, rng: np.random.Generator, size: int = 512, quick: bool = False
) -> Pixels:
    """A degraded copy of an aligned face [h, h, 3], brought to ``size``.

    ``quick`` blurs widely on a smaller copy: up to a level or two of another result, in a third of the time. For
    training; the test levels stay as they are.
    """
    side = picture.shape[0]
    scale = side / 512
    out = _go_through(picture, how.earlier, rng) if how.earlier else picture
    sigma = how.blur * scale
    # The mean of 2x2 adds a variance of 1/4 pixel; below 3 pixels that would show.
    while quick and sigma > 3 and out.shape[0] % 2 == 0 and out.shape[0] // 2 >= 512 / how.down:
        out = cv2.resize(out, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        sigma = float(np.sqrt(sigma**2 - 0.25)) / 2
    if sigma > 0.2:
        out = cv2.GaussianBlur(out, (0, 0), sigma)
    small = int(np.clip(round(512 / how.down), 8, side))
    out = cv2.resize(out, (small, small), interpolation=cv2.INTER_LINEAR)
    noisy = out.astype(np.float32) + rng.standard_normal(out.shape, dtype=np.float32) * how.noise
    out = _jpeg(noisy, how.jpeg)
    return np.asarray(cv2.resize(out, (size, size), interpolation=cv2.INTER_LINEAR), np.uint8)


def _go_through(picture: Pixels, how: Earlier, rng: np.random.Generator) -> Pixels:
    side = picture.shape[0]
    scale = side / 512
    out = cv2.GaussianBlur(picture, (0, 0), max(how.blur_x * scale, 0.1), sigmaY=max(how.blur_y * scale, 0.1))
    # Never larger than the picture: a copy that was enlarged carries nothing more, only costs time.
    small = int(np.clip(round(512 * how.size), 64, side))
    out = cv2.resize(out, (small, small), interpolation=how.interpolation)
    noise = rng.standard_normal((small, small, 1 if how.grey else 3), dtype=np.float32)
    out = _jpeg(out.astype(np.float32) + noise * how.noise, how.jpeg)
    return np.asarray(cv2.resize(out, (side, side), interpolation=cv2.INTER_LINEAR), np.uint8)


def _jpeg(picture: NDArray[np.float32], quality: int) -> Pixels:
    out = np.clip(np.rint(picture), 0, 255).astype(np.uint8)
    _, coded = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)
