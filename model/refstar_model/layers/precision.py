"""What networks compute in while they are trained."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from enum import StrEnum

import torch


class Precision(StrEnum):
    BF16 = "bf16"  # convolutions and products of matrices, by autocast
    FP32 = "fp32"  # for processors without bf16, where autocast costs more than it saves


_chosen = ContextVar("precision", default=Precision.BF16)


def autocast(device: torch.device) -> torch.autocast:
    """Around whatever a network computes in a training step; losses are computed outside, in fp32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=_chosen.get() is Precision.BF16)


@contextmanager
def compute_in(precision: Precision) -> Iterator[None]:
    """What `autocast` means inside."""
    token = _chosen.set(precision)
    try:
        yield
    finally:
        _chosen.reset(token)
