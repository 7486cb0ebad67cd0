"""Weights of references in 0..1, [B, R]: sums and shares that come out the same whoever shares the batch.

Products of matrices: the order in which onnxruntime's ReduceSum adds depends on the batch.
"""

import torch
from torch import Tensor

_SHARPNESS = 4  # of how much the likelier reference counts
_FAR = 1e4  # speaks against what is absent


def share_references(weight: Tensor, against: Tensor | None = None) -> Tensor:
    """w_r^4 / sum_r w_r^4 of weights [B, R], how much of all that is taken comes from each; 0 where all weights are 0.

    So the likelier reference replaces the other, and does not blur it. ``against`` [B, R]: what else speaks against a
    reference; each w_r^4 is multiplied by exp(-against_r).
    """
    power = weight.float() ** _SHARPNESS
    if against is not None:
        # Of those that are there, the one against which least speaks keeps its weight: no sum of all may vanish.
        least = (against + _FAR * (weight <= 0).to(against.dtype)).amin(1, keepdim=True)
        power = power * torch.exp((least - against).clamp(max=0))
    return power / sum_weights(power).clamp(min=1e-12)


def sum_weights(weight: Tensor) -> Tensor:
    """[B, R] to [B, 1]."""
    weight = weight.float()
    return weight @ torch.ones(weight.shape[1], 1, dtype=weight.dtype, device=weight.device)


def mix_references(x: Tensor, weight: Tensor) -> Tensor:
    """What [B, R, ...] say together, by the shares of their weights [B, R]: [B, ...]."""
    return mix_by_shares(x, share_references(weight))


def mix_by_shares(x: Tensor, shares: Tensor) -> Tensor:
    """The sum of [B, R, ...] by ``shares`` [B, R]: [B, ...]."""
    mixed = shares.unsqueeze(1) @ x.float().flatten(2)
    return mixed.squeeze(1).unflatten(1, x.shape[2:])
