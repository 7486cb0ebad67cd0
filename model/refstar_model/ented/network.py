"""ENTED: neural textures of a reference, a dictionary and refined style codes. A design of our own after the abstract
of Lau et al. (arXiv 2401.06978, WACV 2024), on the operators of NTED (CVPR 2022).

    degraded face -> encoder, attention -> code words (`dictionary`) -> latent -> style codes (`refinement`)
    reference     -> textures, keys and values, who it is (`references`)
    latent, style codes, textures -> renderer -> picture = input + what the finest convolutions add

The paper's code and sizes are not public: what is ours is said where it is done. Its residual connections are system
3's here (bending, and a residual on the input), and can be left out, as in its figure 1: then the picture is drawn from
the latent alone. Before all else the person gate weighs the references: a stranger's textures are not taken.
"""

from typing import NamedTuple

from torch import Tensor, nn

from refstar_model.ented.dictionary import Dictionary, Replaced
from refstar_model.ented.params import SMALL, EntedParams
from refstar_model.ented.references import Attentions, ReferenceEncoder, ReferenceTextures
from refstar_model.ented.refinement import Asked, Refinement
from refstar_model.ented.renderer import Renderer, Rendering
from refstar_model.ented.textures import Distributed, mix_textures, share_selection
from refstar_model.ganprior.attention import FaceAttention
from refstar_model.ganprior.codec import build_encoder
from refstar_model.ganprior.network import Finest
from refstar_model.layers.person_gate import PersonGate, apply_gate
from refstar_model.layers.pyramid import resize_grid, up


class Restoration(NamedTuple):
    picture: Tensor  # [B, 3, S, S], fp32, not clamped
    sketch: Tensor  # [B, 3, S/4, S/4] in 0..1, not clamped: the renderer's own colors
    codes: Tensor | None  # [B, D, g, g], of the degraded face before words took their place
    gate: Tensor | None  # [B, R], logits that a reference shows the same person
    selection: Tensor | None  # [B, R, f, f] in 0..1, how much of each reference is taken where
    distributed: dict[int, Distributed]  # by grid


class Ented(nn.Module):
    def __init__(self, params: EntedParams = SMALL) -> None:
        super().__init__()
        self.params, base = params, params.base
        coarse = base.widths[2]
        self.encoder = build_encoder(base)
        self.attention = FaceAttention(coarse, base.heads, base.attention_layers, params.grids[2])
        self.gate = PersonGate(params.of_gate)
        self.references = ReferenceEncoder(params)
        width = params.rendered[params.grids[2]]
        if params.dictionary:
            self.dictionary = Dictionary(params)
        if params.residual or not params.dictionary:
            self.pass_on = nn.Conv2d(coarse, width, 1)
        self.refinement = Refinement(params)
        self.renderer = Renderer(params)
        if params.residual:
            self.finest = Finest(base)

    def encode(self, pictures: Tensor) -> tuple[ReferenceTextures, Attentions]:
        """References [N, 3, S, S] in 0..1."""
        encoded: tuple[ReferenceTextures, Attentions] = self.references(pictures, self.gate.encoder)
        return encoded

    def forward(
        self,
        low_quality: Tensor,
        references: ReferenceTextures | None = None,
        weight: Tensor | None = None,
        gate_strength: Tensor | None = None,
    ) -> Restoration:
        """low_quality [B, 3, S, S] in 0..1; references [B, R, ...] with weight [B, R] in 0..1 (0 = absent), or none.

        ``gate_strength`` [B] in 0..1: how much the gate's word counts; all of it where it is not given.
        """
        seen = self.encoder(low_quality)
        coarse = self.attention(seen.coarse)
        latent, codes = self._replace(coarse)
        gate = textures = asked = None
        if references is not None:
            assert weight is not None
            gate = self.gate(low_quality, references.person)
            weight = apply_gate(weight.float(), gate, gate_strength)
            fine, middle, coarsest = (
                mix_textures(each, weight) for each in (references.fine, references.middle, references.coarse)
            )
            textures = fine, middle, coarsest
            asked = Asked(references.keys, references.values, weight)
        styles = self.refinement(latent, asked)
        drawn = self.renderer(latent, styles, seen, low_quality, textures)
        picture = self._finish(drawn, seen.fine, low_quality)
        selection = self._measure_selection(drawn, asked.weight) if asked is not None else None
        return Restoration(
            picture, 0.5 + 0.5 * drawn.colors.float(), codes, gate, selection, drawn.distributed
        )

    def _replace(self, coarse: Tensor) -> tuple[Tensor, Tensor | None]:
        if not self.params.dictionary:
            return self.pass_on(coarse), None
        replaced: Replaced = self.dictionary(coarse)
        if self.params.residual:
            return replaced.latent + self.pass_on(coarse), replaced.codes
        return replaced.latent, replaced.codes

    def _finish(self, drawn: Rendering, fine: Tensor, low_quality: Tensor) -> Tensor:
        if drawn.finest_colors is None:
            added: Tensor = self.finest(drawn.features, fine, low_quality)
            return low_quality.float() + added.float()
        return 0.5 + 0.5 * (up(up(drawn.colors)) + drawn.finest_colors).float()

    def _measure_selection(self, drawn: Rendering, weight: Tensor) -> Tensor:
        """The mean over the grids, on the fine one."""
        fine = self.params.grids[0]
        taken = [share_selection(one.shares, weight) for one in drawn.distributed.values()]
        if not taken:
            return weight.new_zeros(*weight.shape, fine, fine)
        total = resize_grid(taken[0], fine)
        for one in taken[1:]:
            total = total + resize_grid(one, fine)
        return total / len(taken)
