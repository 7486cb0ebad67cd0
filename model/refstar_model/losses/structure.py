"""Structure: how alike two pictures are in local pattern, whatever their local brightness; and how sharp they are."""

import torch
from torch import Tensor
from torch.nn import functional as F

from refstar_model.layers.pyramid import down, laplacian


def structure_loss(picture: Tensor, truth: Tensor, scales: int = 3) -> Tensor:
    """1 - the mean contrast-structure term of SSIM over scales, per picture [B]; pictures [B, 3, h, w] in 0..1.

        cs = (2 cov(a, b) + c) / (var(a) + var(b) + c),  c = 0.03^2

    After MS-SSIM (Wang 2003), with three changes: windows are 8x8 boxes at a stride of 4 (a tenth of the Gaussian
    window's time), scales are averaged and not multiplied (a product has no gradient where one factor is near zero),
    and brightness is left to the pixel loss.
    """
    total = torch.zeros(len(picture), device=picture.device)
    for scale in range(scales):
        if scale:
            picture, truth = down(picture), down(truth)
        # Centered first: the variance of a bright flat window is otherwise a difference of two large numbers.
        a, b = (x - x.mean((2, 3), keepdim=True) for x in (picture, truth))
        mean_a, mean_b = _windows(a), _windows(b)
        var_a = (_windows(a.square()) - mean_a.square()).clamp(min=0)
        var_b = (_windows(b.square()) - mean_b.square()).clamp(min=0)
        covariance = _windows(a * b) - mean_a * mean_b
        total = total + ((2 * covariance + 0.03**2) / (var_a + var_b + 0.03**2)).mean((1, 2, 3))
    return 1 - total / scales


def _windows(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 8, 4)


def sharpness_loss(picture: Tensor, truth: Tensor, bands: int = 2) -> Tensor:
    """How far the local energy of the finest bands is from the truth's, per picture [B].

        sum_b mean |E(band_b picture) - E(band_b truth)|,  E = mean |.| over 8x8 windows

    L1 answers "which hair?" with no hair; this asks only that there be as much of it. On its own it would be content
    with noise: it stands beside the pixel loss.
    """
    total = torch.zeros(len(picture), device=picture.device)
    for a, b in zip(laplacian(picture, bands), laplacian(truth, bands), strict=True):
        energy_a, energy_b = (F.avg_pool2d(x.abs().mean(1, keepdim=True), 8, 4) for x in (a, b))
        total = total + (energy_a - energy_b).abs().mean((1, 2, 3))
    return total
