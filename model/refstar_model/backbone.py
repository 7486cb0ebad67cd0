"""The seam between the three parts of RefSTAR and the network that restores without a reference.

A backbone looks at the degraded face (``analyze``) and draws a picture of it (``draw``). On the way it hands its
features on the two coarser grids to a ``Transfer``, which brings in what references offer there. Selection and the
blend in the picture need its finest features and its picture, nothing else.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from torch import Tensor


class Grids(NamedTuple):
    """Features on three grids; with references each has their number R after B, padded with 0 where weight is 0."""

    fine: Tensor  # [B, widths[0], g, g]
    middle: Tensor  # [B, widths[1], g/2, g/2]
    coarse: Tensor  # [B, widths[2], g/4, g/4]


class Transfer(NamedTuple):
    """What references add to a backbone's features; both keep the shape."""

    middle: Callable[[Tensor], Tensor]
    coarse: Callable[[Tensor], Tensor]


#: No reference, and no attention of the face to itself either.
UNAIDED = Transfer(lambda x: x, lambda x: x)


class Drawing(NamedTuple):
    features: Tensor  # [B, widths[0], g, g], those that the picture was made of
    picture: Tensor  # [B, 3, H, W], fp32: S, not clamped
    codes: Tensor | None = None  # what ``losses`` looks at: logits of predicted codes, or a prior's sketch
    style: Tensor | None = (
        None  # [B, codes, style], the W+ codes of a prior, as differences from its mean code
    )


class Backbone(Protocol):
    def analyze(self, low_quality: Tensor) -> Grids:
        """low_quality [B, 3, H, W] in 0..1."""

    def draw(self, low_quality: Tensor, features: Grids, transfer: Transfer) -> Drawing: ...

    def losses(self, codes: Tensor | None, truth: Tensor) -> dict[str, Tensor]:
        """Terms of its own, beside the losses on its picture; truth [B, 3, T, T], T = H or H / 2; codes as drawn."""
