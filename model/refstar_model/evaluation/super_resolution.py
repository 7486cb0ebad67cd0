"""Super-resolution by 4, 8 and 16: the paper's second task. Reduced photographs are enlarged back, then restored.

Reduced and enlarged by antialiased bicubic interpolation (a = -0.5, the kernel as wide as the factor): what the
literature's x4, x8 and x16 are. Nothing else ruins them, so that the figures can be laid beside others'; these measure
PSNR and SSIM over RGB.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from refstar_model.data.photos import Photo, PhotoSet
from refstar_model.evaluation.lone_cases import REAL_KINDS, LoneCase, spread
from refstar_model.evaluation.lone_level import judge_lone_level
from refstar_model.evaluation.scores import Judges, tensor
from refstar_model.evaluation.sheets import Show
from refstar_model.export.restorers import SIDE, Restorer
from refstar_model.progress import follow

Pixels = NDArray[np.uint8]

FACTORS = (4, 8, 16)


def judge_super_resolution(
    model: Restorer, photos: PhotoSet, judges: Judges, count: int | None = None, show: Show | None = None
) -> dict[str, Any]:
    """``{"x4": {"cases": n, "means": ..., "differences": ...}, ...}`` of ``input`` (enlarged), ``none`` and ``truth``.

    Photographs that are sharp at 512 only, at most ``count``; empty where there are none.
    """
    sharp = spread([p for p in photos.of_kinds(*REAL_KINDS).photos if p.sharp_at_512], count)
    if not sharp:
        return {}
    return {f"x{factor}": _judge_factor(model, photos, sharp, factor, judges, show) for factor in FACTORS}


def _judge_factor(
    model: Restorer, photos: PhotoSet, sharp: Sequence[Photo], factor: int, judges: Judges, show: Show | None
) -> dict[str, Any]:
    small = (small_case(photos, photo, factor) for photo in follow(sharp, f"x{factor}"))
    return judge_lone_level(model, small, judges, f"super-resolution-x{factor}", show)


def small_case(photos: PhotoSet, photo: Photo, factor: int) -> LoneCase:
    """A photograph of 512 pixels, reduced and enlarged by ``factor``."""
    truth = photos.read(photo.file, SIDE)
    return LoneCase(photo.file, photo.person, enlarge(reduce(truth, factor), factor), truth)


def reduce(picture: Pixels, factor: int) -> Pixels:
    """[S, S, 3] to [S / factor, S / factor, 3]."""
    return _resize(picture, len(picture) // factor)


def enlarge(picture: Pixels, factor: int) -> Pixels:
    """[S, S, 3] to [S * factor, S * factor, 3]."""
    return _resize(picture, len(picture) * factor)


def _resize(picture: Pixels, side: int) -> Pixels:
    # With antialiasing torch takes a = -0.5 as the literature does; without it, and in OpenCV, it is -0.75.
    x: Tensor = F.interpolate(tensor([picture]), (side, side), mode="bicubic", antialias=True)
    return np.asarray((x[0].clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy())
