"""What is taken of a reference: textures on three grids, keys and values for the style codes, and who it shows.

All of it depends on the reference alone, so it is computed once and kept.
"""

from typing import NamedTuple

from torch import Tensor, nn

from refstar_model.ented.params import EntedParams
from refstar_model.ented.textures import Sizes, TextureExtraction
from refstar_model.layers.blocks import ChannelNorm
from refstar_model.layers.leaky import activate, start
from refstar_model.layers.person_gate import PersonEncoder
from refstar_model.picture_encoder import PictureEncoder


def size_textures(params: EntedParams) -> list[Sizes]:
    """By grid, fine to coarse."""
    return [
        Sizes(
            params.grids[i],
            params.cells[i],
            params.densities[i],
            params.reference_widths[i],
            params.drawn[i],
            params.texture_widths[i],
            params.hidden[i],
            params.draw_blocks[i],
            params.base.style,
        )
        for i in range(len(params.grids))
    ]


class ReferenceTextures(NamedTuple):
    """Of references [N, ...] or, for the network, of faces and their references [B, R, ...]."""

    fine: Tensor  # [N, k, c], k and c by grid
    middle: Tensor
    coarse: Tensor
    keys: Tensor  # [N, style, g g] on the coarse grid g; the alignment looks at them too
    values: Tensor  # [N, style, g g]
    person: Tensor  # [N, D]


class ReferenceEncoder(nn.Module):
    def __init__(self, params: EntedParams) -> None:
        super().__init__()
        coarse = params.reference_widths[2]
        self.encoder = PictureEncoder(
            params.reference_widths,
            params.reference_blocks,
            params.base.unshuffle,
            start=start,
            activate=activate,
        )
        self.extract_fine, self.extract_middle, self.extract_coarse = (
            TextureExtraction(sizes) for sizes in size_textures(params)
        )
        self.norm = ChannelNorm(coarse)
        self.keys, self.values = (nn.Conv2d(coarse, params.base.style, 1) for _ in range(2))

    def forward(self, pictures: Tensor, person: PersonEncoder) -> ReferenceTextures:
        """pictures [N, 3, H, W] in 0..1; ``person`` says who they show."""
        seen = self.encoder(pictures)
        extractions = self.extract_fine, self.extract_middle, self.extract_coarse
        fine, middle, coarse = (
            extract(features, pictures) for extract, features in zip(extractions, seen, strict=True)
        )
        tokens = self.norm(seen.coarse)
        return ReferenceTextures(
            fine,
            middle,
            coarse,
            self.keys(tokens).flatten(2).float(),
            self.values(tokens).flatten(2).float(),
            person(pictures),
        )
