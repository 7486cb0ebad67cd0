"""A few val faces at a glance: what a checkpoint makes of them, for the log of a training."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from refstar_model.data.degradation import LEVELS, degrade
from refstar_model.data.photos import Kind, PhotoSet
from refstar_model.evaluation.restorers import Restorer, fit

Pixels = NDArray[np.uint8]
TILE = 192
KINDS = (Kind.FRONT, Kind.TURNED, Kind.PROFILE, Kind.GRAY)


def draw_quick_sheet(model: Restorer, photos: PhotoSet, faces: int = 6, seed: int = 7) -> Tensor:
    """Clean, moderate and severe inputs beside what the model makes of them without a reference, then the truth.

    One row a face, ``faces`` of them, kinds taken in turns; [3, h, w] in 0..1.
    """
    rows = []
    for index, file in enumerate(_spread(photos, faces)):
        truth = photos.read_sharpest(file)
        pictures = [fit(truth)]
        for level in sorted(LEVELS):
            rng = np.random.default_rng([seed, index])
            pictures.append(degrade(truth, LEVELS[level](rng), rng))
        tiles = [tile for picture in pictures for tile in (picture, model(picture, []).picture)]
        rows.append(np.hstack([_tile(p) for p in (*tiles, truth)]))
    sheet = np.ascontiguousarray(np.vstack(rows).transpose(2, 0, 1))
    return torch.from_numpy(sheet).float() / 255


def _spread(photos: PhotoSet, count: int) -> Sequence[str]:
    """``count`` files at the most, one kind after another, each kind's spread over its list."""
    lists = [[p.file for p in photos.photos if p.kind is kind] for kind in KINDS]
    lists = [files for files in lists if files]
    each = -(-count // max(1, len(lists)))
    taken = [
        [files[i] for i in sorted({int(i) for i in np.linspace(0, len(files) - 1, each)})] for files in lists
    ]
    mixed = [files[turn] for turn in range(each) for files in taken if turn < len(files)]
    return mixed[:count]


def _tile(picture: Pixels) -> Pixels:
    return np.asarray(cv2.resize(fit(picture), (TILE, TILE), interpolation=cv2.INTER_AREA), np.uint8)
