"""The knob that trades closeness to the input against detail."""

from functools import reduce

import torch
from torch import Tensor
from torch.nn import functional as F

from refstar_model.layers.pyramid import up
from refstar_model.layers.separable import both_ways, resizing


def apply_fidelity(restored: Tensor, low_quality: Tensor, fidelity: Tensor) -> Tensor:
    """A restored picture with the knob applied; all pictures [B, 3, H, W], fidelity [B].

    Above 0.5 up to 40 % of the input is kept, below it the three finest bands are raised by up to 30 %; 0.5 changes
    nothing. (RefSTAR's selection head reads the knob too, and was trained to trade closeness against detail with it.)
    """
    toward_input = (fidelity * 2 - 1).clamp(0, 1).reshape(-1, 1, 1, 1) * 0.4
    toward_detail = (1 - fidelity * 2).clamp(0, 1).reshape(-1, 1, 1, 1) * 0.3
    detail = restored - _low_pass(restored)
    return restored + toward_input * (low_quality - restored) + toward_detail * detail


def _low_pass(x: Tensor) -> Tensor:
    """What the three finest Laplacian bands leave of x [N, 3, H, W]."""
    side = x.shape[-1]
    if torch.compiler.is_exporting():
        doublings = (resizing(size // 2, size) for size in (side // 4, side // 2, side))
        return both_ways(reduce(lambda a, b: b @ a, doublings), both_ways(resizing(side, side // 8), x))
    return up(up(up(F.avg_pool2d(x, 8))))
