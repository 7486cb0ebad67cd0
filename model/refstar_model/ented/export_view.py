"""ENTED as the graphs of the model folder contract (export.views): references, a gate, and fidelity.

``selection`` is how much of each reference's textures a place takes, on the fine grid, the mean over the three grids.
"""

import torch
from torch import Tensor, nn

from refstar_model.ented.network import Ented
from refstar_model.ented.references import ReferenceTextures
from refstar_model.export.views import (
    EXACT,
    GATE_STRENGTH,
    JUDGMENTS,
    SELECTION,
    RestoringViews,
    View,
)
from refstar_model.layers.person_gate import judge_references
from refstar_model.layers.pixels import to_picture, to_pixels

FEATURES = tuple(f"features_{name}" for name in ReferenceTextures._fields)


def view_network(net: Ented) -> RestoringViews:
    return RestoringViews(
        net.params.base.size,
        View(
            Restore(net),
            ("low_quality", "reference_weight", "fidelity", GATE_STRENGTH, *FEATURES),
            ("restored", SELECTION, "finite", *JUDGMENTS, EXACT),
        ),
        View(EncodeReferences(net), ("references",), FEATURES),
        View(RestoreAlone(net), ("low_quality", "fidelity"), ("restored", "finite", EXACT)),
    )


class EncodeReferences(nn.Module):
    def __init__(self, net: Ented) -> None:
        super().__init__()
        self.net = net

    def forward(self, references: Tensor) -> tuple[Tensor, ...]:
        features: tuple[Tensor, ...] = self.net.encode(to_picture(references))
        return tuple(features)


class Restore(nn.Module):
    def __init__(self, net: Ented) -> None:
        super().__init__()
        self.net = net

    def forward(
        self,
        low_quality: Tensor,
        reference_weight: Tensor,
        fidelity: Tensor,
        gate_strength: Tensor,
        features_fine: Tensor,
        features_middle: Tensor,
        features_coarse: Tensor,
        features_keys: Tensor,
        features_values: Tensor,
        features_person: Tensor,
    ) -> tuple[Tensor, ...]:
        """The features in the order of ``FEATURES``, [B, R, ...] each."""
        features = ReferenceTextures(
            features_fine, features_middle, features_coarse, features_keys, features_values, features_person
        )
        result = self.net(to_picture(low_quality), features, reference_weight, gate_strength, fidelity)
        selection = (result.selection * 255).round().to(torch.uint8)
        rounded, finite = to_pixels(result.picture)
        assert result.gate is not None
        judgments = judge_references(self.net.gate, result.gate, rounded, features_person, reference_weight)
        return rounded, selection, finite, *judgments, result.picture


class RestoreAlone(nn.Module):
    """As Restore with all weights 0; the selection would be empty."""

    def __init__(self, net: Ented) -> None:
        super().__init__()
        self.net = net

    def forward(self, low_quality: Tensor, fidelity: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        exact: Tensor = self.net(to_picture(low_quality), fidelity=fidelity).picture
        return *to_pixels(exact), exact
