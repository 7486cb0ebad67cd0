"""The formulas that both executors share, for NumPy arrays and tensors alike. Pictures and maps are in 0..1."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Array = TypeVar("Array", NDArray[np.float32], Tensor)
Float = NDArray[np.float32]

MOTION_REACH = 15  # of the kernel, pixels to each side
SMEAR_REACH, SMEAR_SIGMA = 2, 1.5  # of the bilateral filter, pixels of the small picture
#: Width of the step from paper to ink, as a share of the screen's range: what ink and paper leave of a sharp dot.
SCREEN_SOFTNESS = 0.45


def grain_weight(light: Array) -> Array:
    """How much of the grain a luminance shows: most in the mid-tones, where developed and empty crystals mix."""
    return 0.35 + 2.6 * light * (1 - light)


def screen_threshold(x: Array, y: Array, ruled: bool) -> Array:
    """The lightness above which paper stays white at a place; x, y in periods of the screen.

    Uniform in 0..1, so that the mean of the screened picture is that of the picture: dots are the sum of two triangle
    waves, whose distribution function is 2 s^2 below 1/2 and 1 - 2 (1 - s)^2 above; lines are one wave.
    """
    across = 2 * abs(x % 1 - 0.5)
    if ruled:
        return across
    s = 0.5 * (across + 2 * abs(y % 1 - 0.5))
    low, high = s.clip(0, 0.5), 1 - s.clip(0.5, 1)
    return 2 * low * low + 0.5 - 2 * high * high


def print_screen(picture: Array, threshold: Array) -> Array:
    """Ink or paper. The picture is squeezed a little, or the soft step would eat the ends of the scale."""
    return ((picture - threshold) / SCREEN_SOFTNESS + 0.5).clip(0, 1)


def compose_coat(
    exposure: Array | None,
    fading: Array | None,
    paper: Array,
    stain: Array | None,
    tint: Array,
    marks: Array | None,
) -> tuple[Array, Array] | None:
    """Everything that lies on a picture, x -> gain x + offset; None for nothing.

    Maps [..., 1, h, w], None where there is none; ``paper`` and ``tint`` [..., 3, 1, 1]. ``exposure`` is the logarithm
    of a gain. ``fading`` is the share of the picture that gives way to ``paper`` where the map is positive, at most .9.
    Stain and marks are signed, -1..1: each takes the picture to black or to white.
    """
    gain: Array | None = None
    offset: Array | None = None
    if exposure is not None:
        gain = float(np.e) ** exposure
    if fading is not None:
        gone = fading.clip(0, 0.9)
        gain = 1 - gone if gain is None else gain * (1 - gone)
        offset = gone * paper
    for signed in (None if stain is None else stain * tint, marks):
        if signed is None:
            continue
        bounded = signed.clip(-1, 1)
        left, light = 1 - abs(bounded), bounded.clip(0, 1)
        gain = left if gain is None else gain * left
        offset = light if offset is None else offset * left + light
    if gain is None:
        return None
    return gain, gain * 0 if offset is None else offset


def motion_kernels(length: Float, heading: Float) -> Float:
    """Kernels [N, 31, 31] of sum 1: a line of ``length`` pixels [N], its ends and edges softened over a pixel."""
    reach = np.arange(-MOTION_REACH, MOTION_REACH + 1, dtype=np.float32)
    x, y = reach[None, None, :], reach[None, :, None]
    cos, sin = (f(heading)[:, None, None] for f in (np.cos, np.sin))
    along, across = np.abs(x * cos + y * sin), np.abs(y * cos - x * sin)
    kernel = (1 - across).clip(0, 1) * (length[:, None, None] / 2 + 0.5 - along).clip(0, 1)
    return np.asarray(kernel / kernel.sum((1, 2), keepdims=True), np.float32)
