"""What a network costs: its multiplications."""

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode


def count_multiplications(module: nn.Module, *inputs: Tensor) -> int:
    """Multiplications in convolutions and products of matrices of one call, whatever the module calls inside.

    On the ``meta`` device nothing is computed. Products place by place are not counted: there are some hundred
    multiplications in convolutions for each of them.
    """
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(*inputs)
    return counter.get_total_flops() // 2  # it counts sums as well
