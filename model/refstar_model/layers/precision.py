"""What networks compute in while they are trained."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from enum import StrEnum

import torch
from torch.nn import functional as F


class Precision(StrEnum):
    BF16 = "bf16"  # convolutions and products of matrices, by autocast
    FP32 = "fp32"  # for processors that are slower in bf16


_chosen = ContextVar("precision", default=Precision.BF16)


def autocast(device: torch.device) -> torch.autocast:
    """Around whatever a network computes in a training step; losses are computed outside, in fp32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=_chosen.get() is Precision.BF16)


@contextmanager
def compute_in(precision: Precision) -> Iterator[None]:
    """What `autocast` means inside; and numbers too small for a normal float (below 1.2e-38) count as 0.

    Of those, features that are nearly 0 everywhere make many, and a processor takes a hundred times as long for each.
    """
    token = _chosen.set(precision)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
        _chosen.reset(token)


def find_faster(device: torch.device) -> Precision:
    """The precision in which a convolution takes less time on ``device``, forward and backward; of GPUs always bf16.

    Measured in some 50 ms: what a processor says of itself does not tell. One with AMX is several times faster in bf16,
    and one that has AVX-512's bf16 alone may be half as fast.
    """
    if device.type != "cpu":
        return Precision.BF16
    return min(Precision, key=_time_convolution)


#: Sides, channels and repetitions of the convolution that is measured.
_SIDE, _CHANNELS, _TIMES = 64, 64, 5


def _time_convolution(precision: Precision) -> float:
    """Seconds, the shortest of several."""
    dtype = torch.bfloat16 if precision is Precision.BF16 else torch.float32
    x, kernel = (
        torch.ones(shape, dtype=dtype).contiguous(memory_format=torch.channels_last).requires_grad_(True)
        for shape in ((1, _CHANNELS, _SIDE, _SIDE), (_CHANNELS, _CHANNELS, 3, 3))
    )
    taken = []
    for _ in range(_TIMES):
        began = time.perf_counter()
        result = F.conv2d(x, kernel, padding=1)
        torch.autograd.grad(result, (x, kernel), result.detach())
        taken.append(time.perf_counter() - began)
    return min(taken)
