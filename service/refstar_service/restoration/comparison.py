"""How two results of one picture differ: which faces each model restored, and by how much their pixels differ."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refstar_service.images import ImageLimits
from refstar_service.images.decode import decode
from refstar_service.restoration.knobs import Knobs
from refstar_service.restoration.report import FaceAction, FaceReport

Pixels = NDArray[np.uint8]

MOST_DECIBELS = 100.0  # said of equal pixels, whose ratio is infinite


@dataclass(frozen=True)
class ComparedFaces:
    """How many faces ``both`` models restored, one of them only, or ``neither``. Faces that were not chosen do not
    count."""

    both: int
    only_first: int
    only_second: int
    neither: int


@dataclass(frozen=True)
class Comparison:
    """A picture that was restored twice. ``psnr``: as `compare_pixels` has it; ``seconds`` of work: the first time, the
    second time."""

    faces: ComparedFaces
    psnr: float | None
    seconds: tuple[float, float]


def compare_faces(first: Sequence[FaceReport], second: Sequence[FaceReport]) -> ComparedFaces:
    """Of the same picture, in the same order."""
    pairs = [
        (one.action is FaceAction.RESTORED, other.action is FaceAction.RESTORED)
        for one, other in zip(first, second, strict=False)
        if one.action is not FaceAction.SKIPPED
    ]
    return ComparedFaces(
        both=pairs.count((True, True)),
        only_first=pairs.count((True, False)),
        only_second=pairs.count((False, True)),
        neither=pairs.count((False, False)),
    )


def compare_pixels(
    first: bytes,
    second: bytes,
    faces: Sequence[FaceReport],
    knobs: Knobs,
    limits: ImageLimits,
) -> float | None:
    """The peak signal-to-noise ratio between two files, in dB: 10 log10(255² / mean squared difference), at most 100.

    Of a photograph only the boxes of those ``faces`` count that a model restored: all else is the same. None if there
    are none, or if the sizes differ. Raises ImageError for a file that cannot be read.
    """
    one, other = decode(first, limits).pixels, decode(second, limits).pixels
    if one.shape != other.shape:
        return None
    changed = np.zeros(one.shape[:2], bool)
    for x, y, width, height in (face.box for face in faces if face.action is FaceAction.RESTORED):
        left, top = (max(0, round(knobs.upscale * side)) for side in (x, y))
        right, bottom = (max(0, round(knobs.upscale * side)) for side in (x + width, y + height))
        changed[top:bottom, left:right] = True
    if knobs.aligned:
        changed[:] = any(face.action is FaceAction.RESTORED for face in faces)
    if not changed.any():
        return None
    return measure_psnr(one[changed], other[changed])


def measure_psnr(one: Pixels, other: Pixels) -> float:
    """In dB, of arrays of one shape."""
    error = float(np.mean((one.astype(np.float32) - other.astype(np.float32)) ** 2))
    return min(MOST_DECIBELS, 10 * math.log10(255**2 / error)) if error else MOST_DECIBELS
