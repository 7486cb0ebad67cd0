"""Means and bilinear resizing of pictures as products of matrices, for exported graphs.

Each of these operations treats rows and columns alike: x becomes M x M^T with a matrix M of one axis, and several in a
row become one M. onnxruntime multiplies matrices at the speed of the machine; its pools and resizes of few channels
reach a twentieth of that. Training keeps the plain operations (autocast would round the products to bf16).
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Rows = NDArray[np.float64]


def resizing(side: int, size: int) -> Rows:
    """[size, side]: bilinear (half-pixel centers, borders repeat) when larger, block mean when smaller."""
    if size <= side:
        return np.kron(np.eye(size), np.full((1, side // size), size / side))
    places = ((np.arange(size) + 0.5) * side / size - 0.5).clip(0, side - 1)
    lower = np.minimum(np.floor(places).astype(int), side - 2)
    upper = places - lower
    rows = np.zeros((size, side))
    rows[np.arange(size), lower] = 1 - upper
    rows[np.arange(size), lower + 1] = upper
    return rows


def window_mean(side: int, window: int) -> Rows:
    """[side, side]: mean of an odd ``window`` around each place, of as much of it as lies inside."""
    apart = np.abs(np.arange(side)[:, None] - np.arange(side))
    inside = (apart <= window // 2).astype(float)
    return inside / inside.sum(1, keepdims=True)


def both_ways(rows: Rows, x: Tensor) -> Tensor:
    """M x M^T; x [N, C, h, h] to [N, C, len(M), len(M)]."""
    matrix = torch.tensor(rows.astype(np.float32).tolist(), device=x.device)
    return matrix @ x @ matrix.T
