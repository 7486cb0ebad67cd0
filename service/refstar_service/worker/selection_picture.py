"""Which parts of a result were taken from which reference, as a picture."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from refstar_service.faces.align import Alignment
from refstar_service.faces.mask import face_mask
from refstar_service.faces.paste import lay_out

Pixels = NDArray[np.uint8]

#: Which reference a place was taken from: eight colors that stay apart.
REFERENCE_COLORS = (
    (230, 75, 53), (77, 187, 213), (0, 160, 135), (243, 155, 127),
    (60, 84, 136), (145, 209, 194), (220, 0, 0), (126, 97, 72),
)  # fmt: skip


#: Longest side of the picture, in pixels: it is for looking at, and of 50 megapixels it would weigh 26 MB.
LONG_SIDE = 2048


@dataclass(frozen=True, eq=False)
class FaceSelection:
    """The masks of one pasted face: ``masks`` [R, g, g], 255 = all taken; ``points`` [5, 2] in the picture."""

    masks: NDArray[np.uint8]
    alignment: Alignment
    points: NDArray[np.float32]


def of_crop(pixels: Pixels, selection: NDArray[np.uint8], colors: Sequence[int]) -> Pixels:
    """The result in gray, every reference's mask in its own color.

    pixels [S, S, 3]; selection [R, g, g], 255 = all taken from this reference, which has the color number in
    ``colors``; returns [S, S, 3].
    """
    side = pixels.shape[0]
    gray = pixels.astype(np.float32).mean(-1, keepdims=True) * 0.5 + 64
    out = np.repeat(gray, 3, -1)
    for mask, color in zip(selection, colors, strict=True):
        large = cv2.resize(mask.astype(np.float32) / 255, (side, side), interpolation=cv2.INTER_LINEAR)
        out = _tinted(out, gray, large, color)
    return _rounded(out)


def of_photograph(
    pixels: Pixels, size: tuple[int, int], faces: Sequence[FaceSelection], colors: Sequence[int]
) -> Pixels:
    """The same for a whole result [H, W, 3]; each face's masks lie where it was pasted, and nowhere else.

    ``size``: width and height of the photograph, which the result may exceed. The picture is of that size, or smaller
    with ``LONG_SIDE``.
    """
    shrink = max(1.0, max(size) / LONG_SIDE)
    width, height = (max(1, round(side / shrink)) for side in size)
    if (width, height) != (pixels.shape[1], pixels.shape[0]):
        pixels = np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    gray = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    out = cv2.cvtColor(cv2.convertScaleAbs(gray, alpha=0.5, beta=64), cv2.COLOR_GRAY2RGB)
    step = np.array([size[0] / width, size[1] / height])  # photograph pixels per pixel
    for face in faces:
        matrix, side = face.alignment.matrix, face.alignment.size
        # A pixel's center p lies at p * step + (step - 1) / 2 of the photograph.
        shift = matrix[:, 2] + matrix[:, :2] @ ((step - 1) / 2)
        placed = Alignment(np.column_stack([matrix[:, :2] * step, shift]), side)
        inside = face_mask(face.alignment.to_crop(face.points), side)
        for mask, color in zip(face.masks, colors, strict=True):
            layer = cv2.resize(mask.astype(np.float32) / 255, (side, side), interpolation=cv2.INTER_LINEAR)
            region, laid = lay_out(np.asarray(layer * inside, np.float32), placed, width, height)
            ground = gray[region].astype(np.float32)[..., None] * 0.5 + 64
            out[region] = _rounded(_tinted(out[region].astype(np.float32), ground, laid, color))
    return np.asarray(out, np.uint8)


def _tinted(
    out: NDArray[np.float32], gray: NDArray[np.float32], mask: NDArray[np.float32], color: int
) -> NDArray[np.float32]:
    shade = np.array(REFERENCE_COLORS[color % len(REFERENCE_COLORS)], np.float32)
    tinted: NDArray[np.float32] = out + 0.8 * mask[..., None] * (shade - gray)
    return tinted


def _rounded(levels: NDArray[np.float32]) -> Pixels:
    rounded: Pixels = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
    return rounded
