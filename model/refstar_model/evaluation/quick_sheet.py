"""A few val faces at a glance: what a checkpoint makes of them, for the log of a training."""

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from refstar_model.data.degradation import LONE_LEVELS, degrade
from refstar_model.data.photos import PhotoSet
from refstar_model.evaluation.lone_cases import spread_over_kinds
from refstar_model.export.restorers import Restorer, fit

Pixels = NDArray[np.uint8]
TILE = 192
SHOWN = ("moderate", "severe", "small", "noisy")  # levels


def draw_quick_sheet(model: Restorer, photos: PhotoSet, faces: int = 6, seed: int = 7) -> Tensor:
    """Clean inputs and those of each level beside what the model makes of them without a reference, then the truth.

    One row a face, ``faces`` of them, kinds taken in turns; [3, h, w] in 0..1.
    """
    rows = []
    for index, photo in enumerate(spread_over_kinds(photos, faces)):
        truth = photos.read_sharpest(photo.file)
        pictures = [fit(truth)]
        for level in SHOWN:
            rng = np.random.default_rng([seed, index])
            pictures.append(degrade(truth, LONE_LEVELS[level](rng), rng))
        tiles = [tile for picture in pictures for tile in (picture, model(picture, []).picture)]
        rows.append(np.hstack([_tile(p) for p in (*tiles, truth)]))
    sheet = np.ascontiguousarray(np.vstack(rows).transpose(2, 0, 1))
    return torch.from_numpy(sheet).float() / 255


def _tile(picture: Pixels) -> Pixels:
    return np.asarray(cv2.resize(fit(picture), (TILE, TILE), interpolation=cv2.INTER_AREA), np.uint8)
