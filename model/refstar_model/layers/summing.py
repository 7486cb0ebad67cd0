"""Sums that come out the same whoever shares the batch."""

import torch
from torch import Tensor


def add_up(x: Tensor) -> Tensor:
    """Sum over the references: [B, R, ...] to [B, ...].

    A matrix product in the exported graph: the order in which onnxruntime's ReduceSum adds depends on the batch, and
    a face must get the same bytes alone and in company.
    """
    if not torch.compiler.is_exporting():
        return x.sum(1)
    ones = torch.ones(1, x.shape[1], dtype=x.dtype, device=x.device)
    return (ones @ x.flatten(2)).squeeze(1).reshape(x.shape[0], *x.shape[2:])
