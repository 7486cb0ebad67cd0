"""What a restoration is held to."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Target:
    """truth [B, 3, T, T]; present and right bool [B, R]; fidelity [B]; labels and confidence as in ``Batch``."""

    truth: Tensor
    present: Tensor
    right: Tensor
    fidelity: Tensor
    labels: Tensor | None = None
    confidence: Tensor | None = None
