"""What a training step gets."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import torch
from torch import Tensor


@dataclass(frozen=True)
class TensorBatch:
    """Some of the fields of a batch are tensors."""

    def to(self, device: torch.device) -> Self:
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> Self:
        """Called by the loader's thread, so that ``to`` a GPU does not wait."""
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> Self:
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        changed: dict[str, Any] = {name: change(v) for name, v in values.items() if isinstance(v, Tensor)}
        return replace(self, **changed)


@dataclass(frozen=True)
class Batch(TensorBatch):
    """truth [B, 3, T, T] with T = size or size / 2; low_quality and references at full size; all uint8.

    ``present`` and ``right`` are bool [B, R]; fidelity float [B]; ``colorless`` bool [B]: nothing is to be learned of
    that face's color; ``alone``: no face has a reference. Where the stream has labels: ``labels`` (0 or 1) and
    ``confidence`` (0..1, 0 = no label) [B, R, bands, 64, 64], dense points in picture widths ``truth_points`` [B, K, 2]
    and ``reference_points`` [B, R, K, 2], known where ``points_known`` [B, R].
    """

    truth: Tensor
    low_quality: Tensor
    references: Tensor
    present: Tensor
    right: Tensor
    fidelity: Tensor
    colorless: Tensor
    alone: bool
    twins: bool = False  # faces 0 and 1, 2 and 3 ... are one photograph each, ruined in two ways
    labels: Tensor | None = None
    confidence: Tensor | None = None
    truth_points: Tensor | None = None
    reference_points: Tensor | None = None
    points_known: Tensor | None = None
