"""How near restored faces are to the truth.

Pictures are [N, 3, h, w] in 0..1, the truth may be one for all; results [N].
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from refstar_model.layers.face_window import face_window
from refstar_model.layers.pyramid import laplacian, resize_grid


def psnr(picture: Tensor, truth: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB over RGB, no crop; 100 for equal pictures."""
    error = (picture - truth).square().mean((1, 2, 3)).clamp(min=1e-10)
    return -10 * torch.log10(error)


def ssim(picture: Tensor, truth: Tensor) -> Tensor:
    """Structural similarity (Wang 2004): Gaussian window 11, sigma 1.5, mean over RGB."""
    axis = torch.arange(11, dtype=torch.float32) - 5
    line = torch.exp(-axis.square() / (2 * 1.5**2))
    line = line / line.sum()

    def blur(x: Tensor) -> Tensor:
        # Two lines instead of one square: the same window at a fifth of the time.
        rows = F.conv2d(x, line.reshape(1, 1, 1, 11).expand(x.shape[1], 1, 1, 11), groups=x.shape[1])
        return F.conv2d(rows, line.reshape(1, 1, 11, 1).expand(x.shape[1], 1, 11, 1), groups=x.shape[1])

    mean_a, mean_b = blur(picture), blur(truth)
    var_a = blur(picture.square()) - mean_a.square()
    var_b = blur(truth.square()) - mean_b.square()
    covariance = blur(picture * truth) - mean_a * mean_b
    c1, c2 = 0.01**2, 0.03**2
    score = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    score = score / ((mean_a.square() + mean_b.square() + c1) * (var_a + var_b + c2))
    return score.mean((1, 2, 3))


def sharpness(picture: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Energy of the two finest Laplacian bands as a share of the truth's (1 = as sharp).

    Two shares: inside the template's face window, and outside it (hair, ears, neck and background).
    """
    of_picture, of_truth = _detail(picture), _detail(truth).clamp(min=1e-6)
    inside, outside = (of_picture / of_truth).unbind(1)
    return inside, outside


def _detail(x: Tensor) -> Tensor:
    """[N, 2]: energy inside and outside the face window."""
    total = torch.zeros(len(x), 2)
    for band in laplacian(x, 2):
        inside = resize_grid(face_window(64)[None, None], band.shape[-1])
        strength = band.abs().mean(1, keepdim=True)
        total += torch.stack([(strength * part).mean((1, 2, 3)) for part in (inside, 1 - inside)], 1)
    return total


def frechet_distance(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Frechet distance of two sets of features [N, D] seen as Gaussians (FID, Heusel 2017).

    |m1 - m2|^2 + tr(C1) + tr(C2) - 2 tr((C1 C2)^(1/2)). The last trace is the sum of the singular values of A B^T,
    where C1 = A^T A and C2 = B^T B: no D x D root is taken. Few pictures flatter nobody: the value is biased upward.
    """
    a, b = ((x - x.mean(0)) / np.sqrt(len(x) - 1) for x in (first, second))
    shared = float(np.linalg.svd(a @ b.T, compute_uv=False).sum())
    return float(((first.mean(0) - second.mean(0)) ** 2).sum() + (a**2).sum() + (b**2).sum() - 2 * shared)
