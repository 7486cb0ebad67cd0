"""Reconstruction: what was taken from the reference must be recoverable from the result."""

import torch
from torch import Tensor
from torch.nn import functional as F

from refstar_model.layers.precision import autocast
from refstar_model.layers.pyramid import down, laplacian, resize_grid
from refstar_model.refstar.network import RefStar, Restoration


def cycle_loss(
    module: RefStar, result: Restoration, references: Tensor, right: Tensor, fidelity: Tensor, skip: int = 0
) -> Tensor:
    """Mask-compatible cycle consistency, a scalar; 0 when no reference is right.

    The reference R is ruined and restored again by the same network, with our own result Y as its reference:

        R' = G(ruin(R), Y),        Y = G(input, R)
        L  = 1 / bands * sum_b  sum(m_b |R'_b - R_b|) / (3 sum(m_b) + e)

    over Laplacian bands b, where m is the mask of the first pass, *without gradient*: only what was selected has to
    come back (a closed mouth need not be recoverable from an open one), and each mask is divided by its own sum. So
    closing the mask does not lower the loss: m is a constant weight of mean 1, and the only way left from M to L is
    through Y, which carries less of R the more M closes. The published formula was not at hand; this is ours.

    ``references`` [B, R, 3, H, W] in 0..1 are those that the blend saw (where the net moves them: the moved ones), so
    that R, Y and m stand on one grid. ``right`` bool [B, R], ``fidelity`` [B]; of several right references the first
    one is asked for. A second pass of the network, so it costs as much as a step on those faces.
    """
    rows = right.any(1).nonzero().flatten()
    if not len(rows):
        return result.restored.new_zeros(())
    chosen = right[rows].float().argmax(1)
    reference = references[rows, chosen]
    masks = result.masks[rows, chosen].detach()
    made = result.restored[rows]
    if made.shape[-1] != reference.shape[-1]:
        made = F.interpolate(made, size=reference.shape[-2:], mode="bilinear", align_corners=False)
    made = made.unsqueeze(1)
    with autocast(reference.device):
        again = module(
            ruin(reference),
            made,
            module.encode(made),
            right.new_ones(len(rows), 1).float(),
            fidelity[rows],
            skip,
        )
    for _ in range(skip):
        reference = down(reference)
    bands = masks.shape[1] - skip
    total = reference.new_zeros(())
    for index, (a, b) in enumerate(
        zip(laplacian(again.restored, bands), laplacian(reference, bands), strict=True)
    ):
        mask = resize_grid(masks[:, index + skip : index + skip + 1], a.shape[-1])
        error = (mask * (a - b).abs()).sum((1, 2, 3)) / (3 * mask.sum((1, 2, 3)) + 1.0)
        total = total + error.mean()
    return total / bands


def ruin(pictures: Tensor) -> Tensor:
    """A plain severe degradation on the device: block mean by 16, noise of 8 / 255, bilinear back; [B, 3, H, W]."""
    small = F.avg_pool2d(pictures, max(2, pictures.shape[-1] // 32))
    small = (small + torch.randn_like(small) * (8 / 255)).clamp(0, 1)
    return F.interpolate(small, size=pictures.shape[-2:], mode="bilinear", align_corners=False)
