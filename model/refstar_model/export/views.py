"""A network that restores faces, seen as the graphs of a model folder: what exporting, quantizing and evaluating share.

``restore`` takes ``low_quality`` u8 [B, S, S, 3] and returns ``restored`` u8 [B, S, S, 3] and ``finite`` bool [B]. What
else it has, the model has:

- ``fidelity`` f32 [B] in 0..1, a knob;
- references: ``encode_references`` makes ``features_*`` [N, ...] of ``references`` u8 [N, S, S, 3]; ``restore`` takes
  them as [B, R, ...] with ``reference_weight`` f32 [B, R] in 0..1 (0 = absent), and also returns ``selection`` u8
  [B, R, g, g], how much was taken where (255 = all);
- a gate that judges references as persons: ``restore`` takes ``gate_strength`` f32 [B] in 0..1, how much the gate's
  word counts (1 = a likely stranger's reference is hardly used, 0 = every reference counts in full), and returns
  ``same_person`` f32 [B, R], the probability that a reference shows the person of the degraded face, and ``likeness``
  f32 [B, R], what the same judge says of the restored face; both 0 where there is no reference;
- ``restore_alone`` answers what ``restore`` does where no reference is present, in less time.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from refstar_model.layers.pixels import to_picture, to_pixels

#: The picture before it is rounded, [B, 3, S, S]: an output that is compared when a graph is written, then taken off.
EXACT = "exact"
#: What ``restore`` takes and returns beside the rest, of a network with a gate.
GATE_STRENGTH = "gate_strength"
SELECTION = "selection"
#: How the names of what is known of a reference begin.
FEATURE_PREFIX = "features_"
JUDGMENTS = ("same_person", "likeness")


@dataclass(frozen=True)
class View:
    """One graph to be: ``module`` takes ``inputs`` and returns ``outputs`` in the order of their names."""

    module: nn.Module
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def run(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """All outputs by name, without gradients; of ``values`` the inputs are taken."""
        with torch.no_grad():
            return dict(zip(self.outputs, self.module(*(values[name] for name in self.inputs)), strict=True))


@dataclass(frozen=True)
class RestoringViews:
    """``size``: the side S of the aligned face in pixels."""

    size: int
    restore: View
    encode_references: View | None = None
    restore_alone: View | None = None

    def __post_init__(self) -> None:
        wanted = (
            () if self.encode_references is None else (*self.encode_references.outputs, "reference_weight")
        )
        given = tuple(
            n for n in self.restore.inputs if n.startswith(FEATURE_PREFIX) or n == "reference_weight"
        )
        if sorted(wanted) != sorted(given):
            raise ValueError(f"restore takes {given} of references, its encoder calls for {wanted}")
        judged = [name for name in JUDGMENTS if name in self.restore.outputs]
        if len(judged) != (len(JUDGMENTS) if GATE_STRENGTH in self.restore.inputs else 0):
            raise ValueError(
                f"restore returns {judged} of a gate: with {GATE_STRENGTH} {JUDGMENTS}, else none"
            )

    @property
    def by_name(self) -> dict[str, View]:
        """The views that there are, by the names of their graphs."""
        views = {
            "encode_references": self.encode_references,
            "restore": self.restore,
            "restore_alone": self.restore_alone,
        }
        return {name: view for name, view in views.items() if view is not None}

    @property
    def module(self) -> nn.ModuleList:
        """All networks together."""
        return nn.ModuleList(view.module for view in self.by_name.values())


class RestorePicture(nn.Module):
    """``restore`` of a network that maps pictures [B, 3, S, S] in 0..1 to restored ones."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, low_quality: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        exact = self.net(to_picture(low_quality))
        return *to_pixels(exact), exact


class Picture(nn.Module):
    """Of what a network draws, the picture: its field of that name."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, low_quality: Tensor) -> Tensor:
        picture: Tensor = self.net(low_quality).picture
        return picture


def view_picture_network(net: nn.Module, size: int) -> RestoringViews:
    """Of a network from pictures to pictures, without references and knobs."""
    return RestoringViews(size, View(RestorePicture(net), ("low_quality",), ("restored", "finite", EXACT)))


def count_parameters(modules: Iterable[nn.Module]) -> int:
    """Each parameter once, however many of the modules have it."""
    return sum(p.numel() for p in {id(p): p for module in modules for p in module.parameters()}.values())
