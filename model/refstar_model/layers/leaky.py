"""Leaky ReLU as StyleGAN2 has it, and first weights of convolutions before it, where there are no norms."""

from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

C = TypeVar("C", bound=nn.Conv2d)

SLOPE = 0.2


def activate(x: Tensor) -> Tensor:
    """x where it is positive, else a fifth of it."""
    return F.leaky_relu(x, SLOPE)


def start(conv: C, gain: float = 1.0) -> C:
    """``conv`` with weights that keep the variance through leaky ReLU (He et al. 2015), times ``gain``; bias 0.

    Without norms the start has to keep features at unit scale.
    """
    nn.init.kaiming_normal_(conv.weight, a=SLOPE)
    with torch.no_grad():
        conv.weight.mul_(gain)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return conv
