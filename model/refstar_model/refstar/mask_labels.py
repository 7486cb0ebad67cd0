"""What the selection learns from: the mask against its labels.

Labels come from clean photographs (`data/selection_masks.py`). Where a sample has none, weak labels from local band
correlation stand in for them.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from refstar_model.layers.face_window import face_window
from refstar_model.layers.pyramid import laplacian, resize_grid
from refstar_model.refstar.network import Restoration
from refstar_model.refstar.target import Target


def mask_loss(result: Restoration, target: Target, references: Tensor) -> Tensor:
    """Confidence-weighted binary cross-entropy of the trust, a mean over the references that are present.

        loss = sum c BCE(trust, label) / sum c  over bands and places, per reference

    ``references`` [B, R, 3, T, T], as the blend sees them. Labels are ``target.labels`` with ``target.confidence``
    [B, R, bands, g, g] where given (0 = ignore); a reference without any confidence gets the weak labels of
    `correlation_labels`. A wrong person's label is zero everywhere, whatever was given.
    """
    bands = result.trust.shape[2]
    skip = bands - (result.self_stream.shape[-1].bit_length() - 4)
    trust = result.trust[:, :, skip:]
    with torch.no_grad():
        label = correlation_labels(
            result.self_stream, target.truth, references, trust.shape[2], trust.shape[-1]
        )
        confidence = torch.ones_like(label)
        if target.labels is not None and target.confidence is not None:
            given = target.confidence[:, :, skip:].to(label.dtype)
            known = (given.amax((2, 3, 4), keepdim=True) > 0).to(label.dtype)
            label = known * target.labels[:, :, skip:].to(label.dtype) + (1 - known) * label
            confidence = known * given + (1 - known) * confidence
        right = target.right.reshape(*target.right.shape, 1, 1, 1)
        label = label * right
        confidence = torch.where(right, confidence, torch.ones_like(confidence))
    loss = F.binary_cross_entropy_with_logits(trust, label, reduction="none") * confidence
    loss = loss.sum((2, 3, 4)) / confidence.sum((2, 3, 4)).clamp(min=1)
    return (loss * target.present).sum() / target.present.sum().clamp(min=1)


def correlation_labels(
    self_stream: Tensor, truth: Tensor, references: Tensor, bands: int, grid: int
) -> Tensor:
    """Weak labels [B, R, bands, g, g] in 0..1: where a reference explains the truth's bands better than S does.

        label = face window * sigmoid((ncc(R_b, Y_b) + 0.5 - ncc(S_b, Y_b) min(1, std S_b / std Y_b)) / 0.1)

    with 7x7 windows on the mask's grid. They keep the mask inside the face; the blend's own gradient does the rest
    (at weight 0.1 they were seen to cap the transfer).
    """
    window = face_window(grid).to(truth.device)
    labels = []
    for y, s, r in zip(
        laplacian(truth, bands),
        laplacian(self_stream, bands),
        laplacian(references.flatten(0, 1), bands),
        strict=True,
    ):
        r = r.unflatten(0, references.shape[:2])
        power_y, power_s, power_r = (_local(x.square(), grid) for x in (y, s, r))
        own = _local(y * s, grid) / ((power_y * power_s).sqrt() + 1e-6)
        own = own * (power_s.sqrt() / (power_y.sqrt() + 1e-4)).clamp(max=1)
        other = _local(y.unsqueeze(1) * r, grid) / ((power_y.unsqueeze(1) * power_r).sqrt() + 1e-6)
        labels.append(torch.sigmoid((other + 0.5 - own.unsqueeze(1)) / 0.1) * window)
    return torch.stack(labels, 2)


def _local(x: Tensor, grid: int) -> Tensor:
    """Mean of a picture's channels over 7x7 windows of the grid: [..., 3, h, w] to [..., g, g]."""
    small = resize_grid(x.mean(-3, keepdim=True).flatten(0, -4), grid)
    means = F.avg_pool2d(small, 7, 1, 3, count_include_pad=False)
    return means.reshape(*x.shape[:-3], grid, grid)
