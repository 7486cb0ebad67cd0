"""RefSTAR: selection, transfer and reconstruction around a restoration backbone.

The degraded face is restored once without trusting anybody (self stream S); then, band by band of a Laplacian
pyramid, the references' own bands R replace those of S wherever the selection mask M allows it:

    out_b = (1 - sum_r M_b,r) S_b + sum_r M_b,r R_b,r        for every band b, plus the low-pass of S

and what the blend cannot do is drawn by a small network (`reconstruction`). Without a reference M = 0 and out = S
exactly. Doing the dual stream in the picture, not only in the features, is
what makes a small network use the reference at all (docs/training.md gives the measurements).
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from refstar_model.backbone import Backbone, Drawing, Grids, Transfer
from refstar_model.ganprior.network import GanPrior
from refstar_model.layers.alignment import AlignmentHead, warp, warp_picture
from refstar_model.layers.blocks import average_channels
from refstar_model.layers.fidelity import apply_fidelity
from refstar_model.layers.person_gate import PersonGate, apply_gate
from refstar_model.layers.pyramid import collapse, down, laplacian, resize_grid
from refstar_model.layers.reference_weights import mix_references
from refstar_model.layers.summing import add_up
from refstar_model.picture_encoder import PictureEncoder
from refstar_model.refstar.backbone_naf import NafBackbone
from refstar_model.refstar.backbone_vq import VqBackbone
from refstar_model.refstar.params import BASE, SMALL, TINY, BackboneKind, RefStarParams
from refstar_model.refstar.reconstruction import Reconstruction
from refstar_model.refstar.refinement import Refinement
from refstar_model.refstar.selection import SelectionHead
from refstar_model.refstar.transfer import FeatureTransfer, compete

__all__ = [
    "BASE",
    "SMALL",
    "TINY",
    "RefStar",
    "RefStarParams",
    "ReferenceFeatures",
    "Restoration",
]


#: What the reconstruction adds counts in full from a mean mask of a third. Everywhere, it drew scribbles beside the
#: head, of what is there in the reference.
_MASK_GAIN = 3.0
#: Share of what it adds that a fidelity of 1 takes away, in evaluation.
_HELD_BACK = 0.8


class ReferenceFeatures(NamedTuple):
    """What the encoders say of references; R may be 0-padded where weight is 0."""

    grids: Grids  # [B, R, ...]
    person: Tensor | None = None  # [B, R, D], who it is, where the net has a gate


class Restoration(NamedTuple):
    restored: Tensor  # [B, 3, H, W], not clamped
    self_stream: Tensor  # [B, 3, H, W], S before the fidelity knob
    trust: Tensor  # [B, R, bands, g, g], logits, each reference judged alone
    masks: Tensor  # [B, R, bands, g, g], in 0..1, what was taken
    aligned: Tensor | None = None  # [B, R, 3, H, W], the reference pictures as the blend saw them
    displacement: Tensor | None = None  # [B, R, 2, c, c], in widths, of the alignment where there is one
    codes: Tensor | None = None  # as drawn: what the backbone's own losses look at
    gate: Tensor | None = None  # [B, R], logits that the reference shows the same person


class Comparison(NamedTuple):
    """The face and its references side by side, before anything is selected."""

    drawing: Drawing  # the face as the backbone restores it
    pictures: Tensor  # [B, R, 3, H, W], the references, moved where the net has an alignment
    fine: Tensor  # [B, R, widths[0], g, g], their features, likewise
    coarse: Tensor  # [B, widths[2], g/4, g/4], features of the face ...
    coarse_references: (
        Tensor  # [B, R, widths[2], g/4, g/4], ... and of the references, unmoved: what is aligned by
    )
    displacement: Tensor | None  # [B, R, 2, c, c]


class RefStar(nn.Module):
    """The three parts around a backbone; ``params`` says which."""

    backbone: Backbone

    def __init__(self, params: RefStarParams = SMALL) -> None:
        super().__init__()
        self.params = params
        fine, _, coarse = params.widths
        self.reference_encoder = PictureEncoder(params.widths, params.reference_blocks, params.unshuffle)
        self.backbone = _backbone(params)
        self.transfer = FeatureTransfer(params)
        self.selection = SelectionHead(
            fine, params.selection_hidden, params.bands, params.unshuffle, params.grid
        )
        if params.gate:
            self.gate = PersonGate(params.of_gate)
        if params.reach:
            self.alignment = AlignmentHead(coarse, params.selection_hidden, params.grid // 4, params.reach)
        if params.refinement:
            self.refinement = Refinement(params)
        if params.reconstruction:
            self.reconstruction = Reconstruction(params.reconstruction, fine, params.bands, params.unshuffle)

    def encode(self, pictures: Tensor) -> ReferenceFeatures:
        """pictures [B, R, 3, H, W] in 0..1."""
        batch, count = pictures.shape[:2]
        flat = pictures.flatten(0, 1)
        grids = Grids(*(f.unflatten(0, (batch, count)) for f in self.reference_encoder(flat)))
        person = self.gate.encoder(flat).unflatten(0, (batch, count)) if self.params.gate else None
        return ReferenceFeatures(grids, person)

    def forward(
        self,
        low_quality: Tensor,
        pictures: Tensor,
        features: ReferenceFeatures,
        weight: Tensor,
        fidelity: Tensor,
        skip: int = 0,
        gate_strength: Tensor | None = None,
    ) -> Restoration:
        """Restore faces.

        low_quality [B, 3, H, W] and pictures [B, R, 3, H, W] (the references) in 0..1, R >= 1; weight [B, R] in 0..1,
        0 = absent, scales the masks; fidelity [B] in 0..1, 0.5 = as trained, 1 = nearest to the input, 0 = most
        detail. ``skip`` leaves out that many finest bands: results then have side H / 2^skip (for training on
        pictures that are not sharp at H). ``gate_strength`` [B] in 0..1: how much the gate's word counts, of a net that
        has one; all of it where it is not given.
        """
        gate = None
        if features.person is not None:
            judgment = self.gate(low_quality, features.person)
            gate, weight = judgment.same, apply_gate(weight, judgment, gate_strength)
        seen = self.compare(low_quality, pictures, features.grids, weight)
        pictures, self_stream, low_quality = seen.pictures, seen.drawing.picture, low_quality.float()

        # The selection judges S and the blend uses it, but neither may train it: half-detached blends make S an
        # anti-gradient of R (it destroyed a run within minutes).
        fixed = self_stream.detach() if self.training else self_stream
        difference = fixed.unsqueeze(1) - pictures
        y = seen.drawing.features
        trust = self.selection(y, seen.fine, difference.to(y.dtype), fidelity, fixed).float()
        masks = compete(torch.sigmoid(trust), weight)

        kept = apply_fidelity(fixed, low_quality, fidelity)
        missing = pictures - kept.unsqueeze(1)
        left_out = (
            0 if self.params.reconstruction else skip
        )  # the reconstruction looks at the finest bands too
        for _ in range(left_out):
            kept, missing = down(kept), down(missing.flatten(0, 1)).unflatten(0, missing.shape[:2])
        restored = kept + self._take_bands(missing, masks, left_out)
        if self.params.reconstruction:
            restored = restored + self._reconstruct(
                restored, fixed, low_quality, seen, masks, weight, fidelity
            )
        for _ in range(skip - left_out):
            restored = down(restored)
        for _ in range(skip):
            self_stream = down(self_stream)
        return Restoration(
            restored, self_stream, trust, masks, pictures, seen.displacement, seen.drawing.codes, gate
        )

    def compare(
        self,
        low_quality: Tensor,
        pictures: Tensor,
        grids: Grids,
        weight: Tensor,
        displacement: Tensor | None = None,
    ) -> Comparison:
        """What selection and blend need, arguments as for ``forward``; ``displacement`` in place of the alignment's."""
        seen = self.backbone.analyze(low_quality)
        coarse = grids.coarse
        if self.params.reach:
            if displacement is None:
                displacement = self.alignment(seen.coarse, coarse)
            # Only corresponding points may train the field (see layers.alignment).
            field = displacement.detach().flatten(0, 1)
            pictures = warp_picture(pictures.flatten(0, 1), field).unflatten(0, pictures.shape[:2])
            grids = Grids(*(_warp_features(f, field) for f in grids))
        drawing = self._draw(low_quality, seen, self.transfer(grids, weight))
        return Comparison(drawing, pictures, grids.fine, seen.coarse, coarse, displacement)

    def alone(self, low_quality: Tensor) -> Drawing:
        """The self stream of ``forward`` where no reference is present, without the cost of absent ones."""
        return self._draw(low_quality, self.backbone.analyze(low_quality), self.transfer.alone())

    def _draw(self, low_quality: Tensor, seen: Grids, transfer: Transfer) -> Drawing:
        drawing = self.backbone.draw(low_quality, seen, transfer)
        if not self.params.refinement:
            return drawing
        picture = self.refinement(drawing.picture, low_quality.float(), drawing.features)
        return drawing._replace(picture=picture)

    def _reconstruct(
        self,
        blend: Tensor,
        self_stream: Tensor,
        low_quality: Tensor,
        seen: Comparison,
        masks: Tensor,
        weight: Tensor,
        fidelity: Tensor,
    ) -> Tensor:
        """What the third part adds to the blend, [B, 3, H, W]; nothing where nothing of a reference is taken.

        Of several references it sees that of which most is taken: their mean would be blurred.
        """
        given = _measure_taken(masks)
        reference, fine = (mix_references(x, given) for x in (seen.pictures, seen.fine))
        y, taken = seen.drawing.features, add_up(masks)
        added: Tensor = self.reconstruction(
            torch.cat([blend, self_stream, low_quality, reference], 1),
            torch.cat([y, fine.to(y.dtype)], 1),
            taken,
            fidelity,
        )
        where = resize_grid((_MASK_GAIN * average_channels(taken)).clamp(max=1), blend.shape[-1])
        share = weight.float().amax(1)
        if not self.training:
            share = share * (1 - _HELD_BACK * fidelity.float())
        return share[:, None, None, None] * where * added

    def _take_bands(self, missing: Tensor, masks: Tensor, skip: int) -> Tensor:
        """sum_r M_b,r (R_b,r - S_b) over all bands; missing is R - S, [B, R, 3, h, w]."""
        batch, count = missing.shape[:2]
        bands = laplacian(missing.flatten(0, 1), self.params.bands - skip)
        flat = masks.flatten(0, 1)
        taken = []
        for index, band in enumerate(bands):
            mask = resize_grid(flat[:, index + skip : index + skip + 1], band.shape[-1])
            taken.append(add_up((mask * band).unflatten(0, (batch, count))))
        return collapse(taken)


def _measure_taken(masks: Tensor) -> Tensor:
    """The mean mask of each reference, [B, R], of masks [B, R, ...].

    A product of matrices: the order in which onnxruntime's ReduceMean adds depends on the batch.
    """
    flat = masks.detach().float().flatten(2)
    return (flat @ torch.full((flat.shape[2], 1), 1 / flat.shape[2], device=flat.device)).squeeze(2)


def _backbone(params: RefStarParams) -> NafBackbone | VqBackbone | GanPrior:
    match params.backbone:
        case BackboneKind.NAF:
            return NafBackbone(params)
        case BackboneKind.VQ:
            return VqBackbone(params)
        case BackboneKind.GAN_PRIOR:
            return GanPrior(params.prior)


def _warp_features(x: Tensor, field: Tensor) -> Tensor:
    """x [B, R, C, h, h] through displacements [B * R, 2, c, c]."""
    return warp(x.flatten(0, 1), field).unflatten(0, x.shape[:2])
