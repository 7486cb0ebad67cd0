"""How alike two aligned photographs are, place by place and band by band."""

from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from refstar_model.data.face_parts import GRID
from refstar_model.judges.landmarks import Pixels

Float = NDArray[np.float32]

#: Variance of luminance (0..1) that counts as detail, per band from fine to coarse.
FLOOR = (1e-4, 2e-4, 4e-4, 6e-4, 6e-4)
WINDOW = 1.6  # sigma of the window, grid cells


def luminance(picture: Pixels) -> Float:
    """Luminance [h, w] in 0..1."""
    return np.asarray(
        picture.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32) / 255, np.float32
    )


def bands(light: Float) -> list[Float]:
    """Five bands of a 256 picture at full size (differences of Gaussians at 1, 2, 4, 8, 16, 32 px at 512)."""
    levels = [light, *(cv2.GaussianBlur(light, (0, 0), 2.0**k) for k in range(5))]
    return [fine - coarse for fine, coarse in pairwise(levels)]


def likeness(truth: Float, reference: Float) -> tuple[Float, Float]:
    """Structure and amount of detail of two luminances at 256, each [5, GRID, GRID].

    Structure is (2 cov + c) / (var + var' + c) in -1..1, the contrast-structure term of SSIM in Gaussian windows, per
    band; amount is (2 sd sd' + c) / (var + var' + c) in 0..1. Flat against flat is 1 in both.
    """
    structure, amount = [], []
    for ours, theirs, floor in zip(bands(truth), bands(reference), FLOOR, strict=True):
        own, other, common = (_window(p) for p in (ours * ours, theirs * theirs, ours * theirs))
        both = own + other + floor
        structure.append((2 * common + floor) / both)
        amount.append((2 * np.sqrt(own * other) + floor) / both)
    return np.stack(structure), np.stack(amount)


def shading(truth: Pixels, reference: Pixels, face: Float) -> Float:
    """How far light or color differ at each place, after gain and color cast of the face are taken out.

    ``face`` [GRID, GRID] says where to fit; the result [GRID, GRID] is the largest difference over the channels, in
    units of log brightness.
    """
    ours, theirs = (
        np.log(_cells(np.asarray(p / np.float32(255), np.float32)) + 0.1) for p in (truth, reference)
    )
    difference = ours - theirs
    inside = face > 0.5
    fit = np.median(difference[inside], 0) if inside.any() else np.zeros(3)
    return np.asarray(np.abs(cv2.GaussianBlur(difference - fit, (0, 0), 1.0)).max(-1), np.float32)


def _window(values: Float) -> Float:
    return np.asarray(cv2.GaussianBlur(_cells(values), (0, 0), WINDOW), np.float32)


def _cells(values: Float) -> Float:
    """Block means on the grid."""
    return np.asarray(cv2.resize(values, (GRID, GRID), interpolation=cv2.INTER_AREA), np.float32)
