"""RefSTAR as the graphs of the model folder contract (export.views): uint8 at the edges, all normalization inside.

``selection`` is the mean mask over the bands on the grid of the masks. ``restore_alone`` takes half the time of
``restore`` with all weights 0.
"""

import torch
from torch import Tensor, nn

from refstar_model.backbone import Grids
from refstar_model.export.views import EXACT, GATE_STRENGTH, JUDGMENTS, SELECTION, RestoringViews, View
from refstar_model.layers.fidelity import apply_fidelity
from refstar_model.layers.person_gate import judge_references
from refstar_model.layers.pixels import to_picture, to_pixels
from refstar_model.refstar.network import ReferenceFeatures, RefStar

FEATURES = ("features_fine", "features_middle", "features_coarse", "features_picture", "features_person")


def view_network(net: RefStar) -> RestoringViews:
    """Without a gate the encoder does not say who a reference shows, and nobody can tell whether it is the person."""
    gated = net.params.gate
    features = FEATURES if gated else FEATURES[:-1]
    return RestoringViews(
        net.params.size,
        View(
            Restore(net),
            ("low_quality", "reference_weight", "fidelity", *features, *((GATE_STRENGTH,) if gated else ())),
            ("restored", SELECTION, "finite", *(JUDGMENTS if gated else ()), EXACT),
        ),
        View(EncodeReferences(net), ("references",), features),
        View(RestoreAlone(net), ("low_quality", "fidelity"), ("restored", "finite", EXACT)),
    )


class EncodeReferences(nn.Module):
    """The reference's features, and the picture itself, whose bands the blend needs."""

    def __init__(self, net: RefStar) -> None:
        super().__init__()
        self.net = net

    def forward(self, references: Tensor) -> tuple[Tensor, ...]:
        picture = references.permute(0, 3, 1, 2)
        scaled = picture.float() / 255
        person = (self.net.gate.encoder(scaled),) if self.net.params.gate else ()
        return *self.net.reference_encoder(scaled), picture, *person


class Restore(nn.Module):
    """Also returns the picture before rounding, for the parity check; the exporter takes that output off."""

    def __init__(self, net: RefStar) -> None:
        super().__init__()
        self.net = net

    def forward(
        self,
        low_quality: Tensor,
        reference_weight: Tensor,
        fidelity: Tensor,
        features_fine: Tensor,
        features_middle: Tensor,
        features_coarse: Tensor,
        features_picture: Tensor,
        features_person: Tensor | None = None,
        gate_strength: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        result = self.net(
            to_picture(low_quality),
            features_picture.float() / 255,
            ReferenceFeatures(Grids(features_fine, features_middle, features_coarse), features_person),
            reference_weight,
            fidelity,
            gate_strength=gate_strength,
        )
        # Added up one by one: a ReduceMean may sum in another order for another batch (see layers.blocks).
        bands = result.masks.unbind(2)
        total = bands[0]
        for band in bands[1:]:
            total = total + band
        selection = (total / len(bands) * 255).round().to(torch.uint8)
        rounded, finite = to_pixels(result.restored)
        judgments: tuple[Tensor, ...] = ()
        if features_person is not None and result.gate is not None:
            judgments = judge_references(
                self.net.gate, result.gate, rounded, features_person, reference_weight
            )
        return rounded, selection, finite, *judgments, result.restored


class RestoreAlone(nn.Module):
    """As Restore with all weights 0; the selection would be empty."""

    def __init__(self, net: RefStar) -> None:
        super().__init__()
        self.net = net

    def forward(self, low_quality: Tensor, fidelity: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        scaled = to_picture(low_quality)
        exact = apply_fidelity(self.net.alone(scaled).picture, scaled, fidelity)
        return *to_pixels(exact), exact
