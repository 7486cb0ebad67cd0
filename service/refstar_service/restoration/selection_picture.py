"""Which parts of a result were taken from which reference, as a picture.

A schematic of few colors, one byte a pixel: brightness in some steps, and where something was taken, the color of the
reference that most was taken from, the stronger the more. A picture of all colors would take four times as long.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from refstar_service.faces.align import Alignment
from refstar_service.faces.mask import face_mask
from refstar_service.faces.paste import lay_out
from refstar_service.images import IndexedPicture

Pixels = NDArray[np.uint8]
Map = NDArray[np.float32]

#: Which reference a place was taken from: eight colors that stay apart.
REFERENCE_COLORS = (
    (230, 75, 53), (77, 187, 213), (0, 160, 135), (243, 155, 127),
    (60, 84, 136), (145, 209, 194), (220, 0, 0), (126, 97, 72),
)  # fmt: skip

#: Longest side of the picture, in pixels: it is for looking at.
LONG_SIDE = 1280

#: Side of a face's mask, as `faces.paste` has it.
_COARSE = 128
_COLORS = 256  # of a picture with a byte a pixel
_OPAQUE = 0.8  # share of a reference's color where all was taken from it


@dataclass(frozen=True, eq=False)
class FaceSelection:
    """The masks of one pasted face: ``masks`` [R, g, g], 255 = all taken; ``points`` [5, 2] in the picture."""

    masks: NDArray[np.uint8]
    alignment: Alignment
    points: NDArray[np.float32]


def draw_for_crop(pixels: Pixels, selection: NDArray[np.uint8], colors: Sequence[int]) -> IndexedPicture:
    """The result in gray, every reference's mask in its own color.

    pixels [S, S, 3]; selection [R, g, g], 255 = all taken from this reference, which has the color number in
    ``colors``; returns [S, S].
    """
    side = pixels.shape[0]
    layers = (cv2.resize(mask, (side, side), interpolation=cv2.INTER_LINEAR) for mask in selection)
    tints = _tint((side, side), layers, _strengths(colors))
    return _paint(pixels, tints, colors)


def draw_for_photograph(
    pixels: Pixels, size: tuple[int, int], faces: Sequence[FaceSelection], colors: Sequence[int]
) -> IndexedPicture:
    """The same for a whole result [H, W, 3]; each face's masks lie where it was pasted, and nowhere else.

    ``size``: width and height of the photograph, which the result may exceed. The picture is of that size, or smaller
    with ``LONG_SIDE``.
    """
    shrink = max(1.0, max(size) / LONG_SIDE)
    width, height = (max(1, round(side / shrink)) for side in size)
    if (width, height) != (pixels.shape[1], pixels.shape[0]):
        # Four of the pixels under each are enough to recognize the photograph, and all of twelve million take long.
        pixels = np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)
    tints = np.zeros((height, width), np.uint8)
    step = np.array([size[0] / width, size[1] / height])  # photograph pixels per pixel
    for face in faces:
        matrix, side = face.alignment.matrix, face.alignment.size
        # A pixel's center p lies at p * step + (step - 1) / 2 of the photograph.
        shift = matrix[:, 2] + matrix[:, :2] @ ((step - 1) / 2)
        placed = Alignment(np.column_stack([matrix[:, :2] * step, shift]), side)
        points = (face.alignment.to_crop(face.points) + 0.5) * _COARSE / side - 0.5
        inside = face_mask(points, _COARSE)
        region, layers = (slice(0, 0), slice(0, 0)), []
        for mask in face.masks:
            layer = cv2.resize(mask, (_COARSE, _COARSE), interpolation=cv2.INTER_LINEAR) * inside
            region, laid = lay_out(layer, placed, width, height)
            layers.append(np.asarray(laid, np.uint8))
        own = _tint(tints[region].shape, layers, _strengths(colors))
        np.copyto(tints[region], own, where=own > 0)
    return _paint(pixels, tints, colors)


def _strengths(colors: Sequence[int]) -> int:
    """Steps in which each reference's color shows, so that some sixteen are left for brightness."""
    return max(2, 15 // max(1, len(colors)))


def _tint(shape: tuple[int, ...], layers: Iterable[NDArray[np.uint8]], strengths: int) -> NDArray[np.uint8]:
    """Number of the tint of each place: 0 for none, then every strength of the first reference, and so on."""
    tints, most = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    steps = np.rint(np.arange(256) * strengths / 255).astype(np.uint8)
    for number, layer in enumerate(layers):
        strength = np.asarray(cv2.LUT(layer, steps), np.uint8) if layer.size else layer
        if number == 0:
            tints, most = strength, strength.copy()
            continue
        # Strengths and not shares are compared, so that the first of equal ones shows, everywhere.
        stronger = strength > most
        np.copyto(most, strength, where=stronger)
        np.copyto(tints, strength + np.uint8(number * strengths), where=stronger)
    return tints


def _paint(pixels: Pixels, tints: NDArray[np.uint8], colors: Sequence[int]) -> IndexedPicture:
    """[H, W, 3] in gray, under ``tints`` [H, W]."""
    strengths = _strengths(colors)
    shades = _COLORS // (1 + len(colors) * strengths)
    # From 64 to 191, so that colors show on black and on white.
    grays = 64 + 127 * (np.arange(shades) + 0.5) / shades
    palette = [np.repeat(grays[:, None], 3, 1)]
    for color in colors:
        full = np.array(REFERENCE_COLORS[color % len(REFERENCE_COLORS)], np.float64)
        for strength in range(1, strengths + 1):
            share = _OPAQUE * strength / strengths
            palette.append(palette[0] * (1 - share) + full * share)
    shade = (np.arange(256) * shades // 256).astype(np.uint8)
    first = np.zeros(256, np.uint8)
    first[: len(palette)] = np.arange(len(palette)) * shades
    gray = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    indices = cv2.add(cv2.LUT(gray, shade), cv2.LUT(tints, first))
    return IndexedPicture(np.asarray(indices, np.uint8), np.rint(np.concatenate(palette)).astype(np.uint8))
