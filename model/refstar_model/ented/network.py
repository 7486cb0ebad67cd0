"""ENTED: neural textures of a reference, a dictionary and refined style codes. A design of our own after the abstract
of Lau et al. (arXiv 2401.06978, WACV 2024), on the operators of NTED (CVPR 2022).

    degraded face -> system 3's codec -> what it says of the whole face (coarse), fine features, style codes
    coarse        -> code words (`dictionary`) -> latent -> style codes (`refinement`)
    reference     -> textures, keys and values, who it is (`references`)
    textures      -> moved onto the face (`layers.alignment`), distributed (`textures`)
    latent, style codes, textures -> system 3's generator and finest convolutions + `detail` -> picture

The paper's code and sizes are not public: what is ours is said where it is done. Its low-quality encoder and its
StyleGAN-like renderer are system 3, which is trained and does not change: all that is new learns what a reference adds
to a picture that is as good as it gets without. Textures are distributed to the codec's features on the fine grid,
which guide generator and correction (of all places, what is added there changes the picture most), and to the
generator's on the two coarser ones. The paper's residual connections are system 3's too, and can be left out as in its
figure 1: then the generator draws a picture from latent, style codes and textures alone, and is trained. Before all
else the person gate weighs the references: a stranger's textures are not taken.
"""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor, nn

from refstar_model.backbone import UNAIDED
from refstar_model.ented.agreement import measure_disagreement
from refstar_model.ented.detail import Detail, share_detail
from refstar_model.ented.dictionary import Dictionary, Replaced
from refstar_model.ented.params import SMALL, EntedParams
from refstar_model.ented.references import ReferenceEncoder, ReferenceTextures, size_textures
from refstar_model.ented.refinement import Asked, Refinement
from refstar_model.ented.textures import (
    STYLES,
    Distributed,
    TextureDistribution,
    Textures,
    mix_textures,
    move_textures,
    read_colors,
    share_selection,
)
from refstar_model.ganprior.codec import Guidance
from refstar_model.ganprior.generator import Bending
from refstar_model.ganprior.network import GanPrior
from refstar_model.layers.alignment import AlignmentHead
from refstar_model.layers.fidelity import apply_fidelity
from refstar_model.layers.person_gate import PersonGate, apply_gate
from refstar_model.layers.pyramid import resize_grid
from refstar_model.layers.reference_weights import share_references

#: What is not trained: it comes trained from system 3 and RefSTAR.
FIXED = ("backbone.", "gate.", "dictionary.words.")

#: Features and the index of their grid to features.
Distribute = Callable[[Tensor, int], Tensor]


class Restoration(NamedTuple):
    picture: Tensor  # [B, 3, S, S], fp32, not clamped
    codes: Tensor | None  # [B, D, g, g], of the degraded face before words took their place
    gate: Tensor | None  # [B, R], logits that a reference shows the same person
    selection: Tensor | None  # [B, R, f, f] in 0..1, how much of each reference is taken where
    distributed: dict[int, Distributed]  # by grid
    displacement: Tensor | None = None  # [B, R, 2, c, c], in picture widths, of the references' textures


class Aligned(NamedTuple):
    """The references of a face, on its places."""

    textures: tuple[Textures, ...]  # by grid, fine to coarse
    shares: Tensor  # [B, R], how much of the textures is each reference's
    displacement: Tensor | None  # [B, R, 2, c, c], in picture widths


class Ented(nn.Module):
    def __init__(self, params: EntedParams = SMALL) -> None:
        super().__init__()
        self.params = params
        self.backbone = GanPrior(params.base)
        self.gate = PersonGate(params.of_gate)
        self.references = ReferenceEncoder(params)
        self.fixed = FIXED if params.residual else FIXED[1:]
        coarse = params.base.widths[2]
        if params.dictionary:
            self.dictionary = Dictionary(params)
        if params.residual or not params.dictionary:
            self.pass_on = nn.Conv2d(coarse, params.drawn[2], 1)
        self.refinement = Refinement(params)
        self.sizes = size_textures(params)
        if params.distribution:
            self.alignment = AlignmentHead(
                coarse, params.hidden[0], params.grids[2], params.reach, params.base.style
            )
            self.distributions = nn.ModuleList(TextureDistribution(sizes) for sizes in self.sizes)
            if params.residual:
                self.detail = Detail(params.hidden[0], params.detail)

    def fix(self, choice: bool = False) -> None:
        """Let only what is new be trained; ``choice``: nor how words are chosen, for a run that is not told which ones
        good photographs have."""
        fixed = (*self.fixed, "dictionary.to_code.") if choice else self.fixed
        for name, value in self.named_parameters():
            value.requires_grad_(not name.startswith(fixed))

    def encode(self, pictures: Tensor) -> ReferenceTextures:
        """References [N, 3, S, S] in 0..1."""
        encoded: ReferenceTextures = self.references(pictures, self.gate.encoder)
        return encoded

    def forward(
        self,
        low_quality: Tensor,
        references: ReferenceTextures | None = None,
        weight: Tensor | None = None,
        gate_strength: Tensor | None = None,
        fidelity: Tensor | None = None,
    ) -> Restoration:
        """low_quality [B, 3, S, S] in 0..1; references [B, R, ...] with weight [B, R] in 0..1 (0 = absent), or none.

        ``gate_strength`` [B] in 0..1: how much the gate's word counts; all of it where it is not given.
        ``fidelity`` [B] in 0..1: less detail the higher it is (`share_detail`), and `apply_fidelity` for the rest of
        the picture; where it is not given, as in training, all detail and nothing else.
        """
        seen = self.backbone.decoder(self.backbone.analyze(low_quality), UNAIDED)
        gate = aligned = asked = None
        if references is not None:
            assert weight is not None
            judgment = self.gate(low_quality, references.person)
            gate, weight = judgment.same, apply_gate(weight.float(), judgment, gate_strength)
            aligned = self._align(low_quality, seen.coarse, references, weight)
            asked = Asked(references.keys, references.values, weight)
        words, codes = self._look_up(seen.coarse)
        latent = self._join(seen.coarse, words)
        styles = self.refinement(latent, asked)
        taken: dict[int, Distributed] = {}
        textures = aligned.textures if aligned is not None else ()
        distribute = self._open_distribution(low_quality, styles, textures, taken)
        if self.params.residual:
            picture = self._render(low_quality, seen, words, styles, distribute)
            if fidelity is not None:
                picture = apply_fidelity(picture, low_quality.float(), fidelity)
            if taken:
                detail = self.detail(taken[self.params.grids[0]], low_quality)
                picture = picture + (detail if fidelity is None else share_detail(fidelity) * detail)
        else:
            picture = self._draw(latent, styles, distribute)
        if aligned is None or asked is None:
            return Restoration(picture, codes, gate, None, taken)
        selection = self._measure_selection(taken, aligned.shares, asked.weight)
        return Restoration(picture, codes, gate, selection, taken, aligned.displacement)

    def _align(
        self, low_quality: Tensor, coarse: Tensor, references: ReferenceTextures, weight: Tensor
    ) -> "Aligned":
        """The textures of all references of a face together, moved onto it."""
        if not self.params.distribution:
            return Aligned((), share_references(weight), None)
        all_there = references.fine, references.middle, references.coarse
        keys = references.keys.unflatten(3, coarse.shape[-2:])
        displacement = self.alignment(coarse, keys)
        # Only corresponding points may train the field (layers.alignment).
        fixed = displacement.detach()
        moved = [move_textures(x, fixed, sizes) for x, sizes in zip(all_there, self.sizes, strict=True)]
        shares = share_references(weight, measure_disagreement(moved[0], low_quality, self.sizes[0]))
        return Aligned(tuple(mix_textures(each, shares, weight) for each in moved), shares, displacement)

    def _look_up(self, coarse: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """What the words say that stand for the coarse features, and the codes that they were chosen by."""
        if not self.params.dictionary:
            return None, None
        replaced: Replaced = self.dictionary(coarse)
        return replaced

    def _join(self, coarse: Tensor, words: Tensor | None) -> Tensor:
        """The latent: the words, and beside them (or where there are none) the features themselves."""
        if words is not None and not self.params.residual:
            return words
        passed: Tensor = self.pass_on(coarse)
        return passed if words is None else passed + words

    def _render(
        self,
        low_quality: Tensor,
        seen: Guidance,
        words: Tensor | None,
        styles: Tensor,
        distribute: Distribute,
    ) -> Tensor:
        """With the residual connections."""
        grids, backbone = self.params.grids, self.backbone
        fine = distribute(seen.fine, 0)
        bending = dict(seen.bending)
        if fine is not seen.fine:
            bending[grids[0]] = backbone.decoder.bend_fine(fine)
        bend_middle, bend_coarse = bending[grids[1]], bending[grids[2]]

        def bend_coarse_further(x: Tensor) -> Tensor:
            bent = bend_coarse(x)
            return distribute(bent if words is None else bent + words, 2)

        bending[grids[1]] = lambda x: distribute(bend_middle(x), 1)
        bending[grids[2]] = bend_coarse_further
        guidance = Guidance(seen.codes + styles[:, : self.params.base.codes], bending, fine, seen.coarse)
        picture: Tensor = backbone.render(low_quality, guidance).picture
        return picture

    def _draw(self, latent: Tensor, styles: Tensor, distribute: Distribute) -> Tensor:
        """Without the residual connections."""
        generator, grids = self.backbone.generator, self.params.grids
        bending: Bending = {
            grids[0]: lambda x: distribute(x, 0),
            grids[1]: lambda x: distribute(x, 1),
            grids[2]: lambda x: distribute(x + latent, 2),
        }
        return generator.draw(generator.mean_code + styles[:, : self.params.base.codes], bending).float()

    def _open_distribution(
        self,
        low_quality: Tensor,
        styles: Tensor,
        textures: tuple[Textures, ...],
        taken: dict[int, Distributed],
    ) -> Distribute:
        """What adds textures to features on the grid of an index; it puts what was taken into ``taken``."""

        def distribute(x: Tensor, index: int) -> Tensor:
            if not textures:
                return x
            grid, first = self.params.grids[index], self.params.base.codes + STYLES * index
            own = styles[:, first : first + STYLES]
            shown = read_colors(low_quality, grid, self.sizes[index].density)
            taken[grid] = self.distributions[index](x, shown, textures[index], own)
            return taken[grid].features

        return distribute

    def _measure_selection(self, taken: dict[int, Distributed], shares: Tensor, weight: Tensor) -> Tensor:
        """The mean over the grids, on the fine one."""
        fine = self.params.grids[0]
        parts = [resize_grid(share_selection(one.share, shares, weight), fine) for one in taken.values()]
        if not parts:
            return weight.new_zeros(*weight.shape, fine, fine)
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        return total / len(parts)
