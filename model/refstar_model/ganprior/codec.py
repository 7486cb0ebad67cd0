"""The asymmetric codec: what the degraded face says, as features on three grids, W+ codes and bent features.

A deep encoder looks for what is left of texture; a light decoder (one block per grid) only brings it to the generator,
which draws. Enlarging is bilinear: shuffled channels would print a lattice.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from refstar_model.backbone import Grids, Transfer
from refstar_model.ganprior.attention import FaceAttention
from refstar_model.ganprior.generator import Bending
from refstar_model.ganprior.mmrb import activate, mmrb_blocks, start
from refstar_model.ganprior.modulation import EqualizedConv
from refstar_model.ganprior.params import BlockKind, GanPriorParams
from refstar_model.layers.blocks import conv_unshuffled, naf_blocks
from refstar_model.layers.pyramid import up

_SHARE = 0.5**0.5


class Encoder(nn.Module):
    """Pictures [N, 3, H, W] in 0..1 to features on three grids.

    The first look is at half size and goes down by strided convolutions: a third of the multiplications of a look at
    8x8 pixels at once, in the same time, and with two more layers.
    """

    def __init__(self, params: GanPriorParams) -> None:
        super().__init__()
        fine, middle, coarse = params.widths
        self.look = start(nn.Conv2d(12, params.stem[0], 3, padding=1))
        steps = zip(params.stem, (*params.stem[1:], fine), strict=True)
        self.stem = nn.ModuleList(start(nn.Conv2d(a, b, 3, stride=2, padding=1)) for a, b in steps)
        self.fine, self.middle, self.coarse = (
            _blocks(params.block, width, count)
            for width, count in zip(params.widths, params.encoder_blocks, strict=True)
        )
        self.to_middle = start(nn.Conv2d(fine, middle, 2, stride=2))
        self.to_coarse = start(nn.Conv2d(middle, coarse, 2, stride=2))

    def forward(self, pictures: Tensor) -> Grids:
        x = activate(conv_unshuffled(self.look, pictures * 2 - 1, 2))
        for conv in self.stem:
            x = activate(conv(x))
        fine = self.fine(x)
        middle = self.middle(activate(self.to_middle(fine)))
        return Grids(fine, middle, self.coarse(activate(self.to_coarse(middle))))


class ToCodes(nn.Module):
    """Coarse features [N, C, g, g] to W+ codes [N, codes, style], as differences from the mean; they start at 0."""

    def __init__(self, params: GanPriorParams) -> None:
        super().__init__()
        channels, halvings = params.widths[2], (params.grid // 4).bit_length() - 3
        self.shape = params.codes, params.style
        self.down = nn.ModuleList(
            start(nn.Conv2d(channels, channels, 3, stride=2, padding=1)) for _ in range(halvings)
        )
        self.whole = start(nn.Conv2d(channels, params.style, 4))
        self.out = EqualizedConv(params.style, params.codes * params.style, zero=True)

    def forward(self, x: Tensor) -> Tensor:
        for conv in self.down:
            x = activate(conv(x))
        return self.out(activate(self.whole(x))).flatten(1).unflatten(1, self.shape)


class Bend(nn.Module):
    """Spatial feature modulation (SFT as in GFPGAN, arXiv 2101.04061, section 3.3): half of the channels pass.

    The others become x * (1 + scale) + shift, both from the codec's features; a new one changes nothing.
    """

    def __init__(self, channels: int, prior_channels: int) -> None:
        super().__init__()
        self.bent = prior_channels // 2
        self.conv = EqualizedConv(channels, 2 * self.bent, 3, zero=True)

    def forward(self, seen: Tensor) -> Callable[[Tensor], Tensor]:
        """``seen`` [N, C, g, g]; returns what bends the generator's features [N, prior_channels, g, g]."""
        scale, shift = self.conv(seen).chunk(2, 1)

        def bend(x: Tensor) -> Tensor:
            passed, bent = x.split([x.shape[1] - self.bent, self.bent], 1)
            return torch.cat([passed, bent * (1 + scale) + shift], 1)

        return bend


class FineBends(nn.Module):
    """Bends the generator's grids above the fine one by the input itself, seen at half and at quarter size.

    What is still sharp in the input would else have to pass 64 x 64 features, which cannot carry it.
    """

    def __init__(self, params: GanPriorParams) -> None:
        super().__init__()
        self.look = start(nn.Conv2d(12, params.stem[0], 3, padding=1))
        self.stem = nn.ModuleList(
            start(nn.Conv2d(a, b, 3, stride=2, padding=1)) for a, b in pairwise(params.stem)
        )
        prior = dict(zip(params.prior_grids, params.prior_widths, strict=True))
        looks = [(params.size // 2 >> level, width) for level, width in enumerate(params.stem)]
        self.grids = [grid for grid, _ in looks if grid in prior]
        self.unseen = len(looks) - len(self.grids)  # first looks, where the generator has no grid
        self.bends = nn.ModuleList(Bend(width, prior[grid]) for grid, width in looks if grid in prior)

    def forward(self, low_quality: Tensor) -> Bending:
        """low_quality [N, 3, H, W] in 0..1, whole or a window: what is returned bends the same part."""
        seen = [activate(conv_unshuffled(self.look, low_quality * 2 - 1, 2))]
        for conv in self.stem:
            seen.append(activate(conv(seen[-1])))
        looks = zip(self.grids, self.bends, seen[self.unseen :], strict=True)
        return {grid: bend(x) for grid, bend, x in looks}


class Guidance(NamedTuple):
    """What the generator is to draw."""

    codes: Tensor  # [B, codes, style], differences from the mean code
    bending: Bending
    fine: Tensor  # [B, widths[0], g, g], the decoder's last features


class Decoder(nn.Module):
    """Features on three grids to guidance: attention on the coarse one, then up with the encoder's features added."""

    def __init__(self, params: GanPriorParams) -> None:
        super().__init__()
        fine, middle, coarse = params.widths
        self.grid = params.grid
        self.attention = FaceAttention(coarse, params.heads, params.attention_layers, params.grid // 4)
        self.to_codes = ToCodes(params)
        self.up_middle = start(nn.Conv2d(coarse, middle, 1))
        self.middle = _blocks(params.block, middle, params.decoder_blocks[1])
        self.up_fine = start(nn.Conv2d(middle, fine, 1))
        self.fine = _blocks(params.block, fine, params.decoder_blocks[0])
        prior = dict(zip(params.prior_grids, params.prior_widths, strict=True))
        self.bend_coarse = Bend(coarse, prior[params.grid // 4])
        self.bend_middle = Bend(middle, prior[params.grid // 2])
        self.bend_fine = Bend(fine, prior[params.grid])

    def forward(self, seen: Grids, transfer: Transfer) -> Guidance:
        coarse = self.attention(transfer.coarse(seen.coarse))
        middle = self.middle(transfer.middle((seen.middle + up(self.up_middle(coarse))) * _SHARE))
        fine = self.fine((seen.fine + up(self.up_fine(middle))) * _SHARE)
        bending = {
            self.grid // 4: self.bend_coarse(coarse),
            self.grid // 2: self.bend_middle(middle),
            self.grid: self.bend_fine(fine),
        }
        return Guidance(self.to_codes(coarse), bending, fine)


def _blocks(kind: BlockKind, channels: int, count: int) -> nn.Sequential:
    return mmrb_blocks(channels, count) if kind is BlockKind.MMRB else naf_blocks(channels, count)
