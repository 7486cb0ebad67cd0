"""How near a restored face is to the truth. Pictures are [N, 3, h, w] in 0..1, results [N]."""

import torch
from torch import Tensor
from torch.nn import functional as F

from refstar_model.layers.pyramid import laplacian, resize_grid
from refstar_model.refstar.selection import face_window


def psnr(picture: Tensor, truth: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB over RGB, no crop; 100 for equal pictures."""
    error = (picture - truth).square().mean((1, 2, 3)).clamp(min=1e-10)
    return -10 * torch.log10(error)


def ssim(picture: Tensor, truth: Tensor) -> Tensor:
    """Structural similarity (Wang 2004): Gaussian window 11, sigma 1.5, mean over RGB."""
    axis = torch.arange(11, dtype=torch.float32) - 5
    line = torch.exp(-axis.square() / (2 * 1.5**2))
    window = torch.outer(line / line.sum(), line / line.sum()).expand(3, 1, 11, 11)

    def blur(x: Tensor) -> Tensor:
        return F.conv2d(x, window, groups=3)

    mean_a, mean_b = blur(picture), blur(truth)
    var_a = blur(picture.square()) - mean_a.square()
    var_b = blur(truth.square()) - mean_b.square()
    covariance = blur(picture * truth) - mean_a * mean_b
    c1, c2 = 0.01**2, 0.03**2
    score = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    score = score / ((mean_a.square() + mean_b.square() + c1) * (var_a + var_b + c2))
    return score.mean((1, 2, 3))


def sharpness(picture: Tensor, truth: Tensor) -> Tensor:
    """Energy of the two finest Laplacian bands inside the face window, as a share of the truth's (1 = as sharp)."""

    def energy(x: Tensor) -> Tensor:
        total = torch.zeros(len(x))
        for band in laplacian(x, 2):
            window = resize_grid(face_window(64)[None, None], band.shape[-1])
            total = total + (band.abs().mean(1, keepdim=True) * window).mean((1, 2, 3))
        return total

    return energy(picture) / energy(truth).clamp(min=1e-6)
