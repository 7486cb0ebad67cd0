"""The asymmetric codec: what the degraded face says, as features on three grids, W+ codes and bent features.

The U-Net is that of RefSTAR's first backbone (`refstar/backbone_naf.py`), block by block, so that its weights can be
taken over: they have seen 34,000 photographs. What it says reaches the picture by the generator, by the finest
convolutions, and as a correction of the input at a quarter of its side (`Decoder.correct`).
"""

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from refstar_model.backbone import Grids, Transfer
from refstar_model.ganprior.attention import FaceAttention
from refstar_model.ganprior.generator import Bending
from refstar_model.ganprior.mmrb import mmrb_blocks
from refstar_model.ganprior.modulation import EqualizedConv
from refstar_model.ganprior.params import BlockKind, GanPriorParams
from refstar_model.layers.blocks import PixelUp, naf_blocks
from refstar_model.layers.folding import UnshuffledConv
from refstar_model.layers.leaky import activate, start
from refstar_model.layers.pyramid import up
from refstar_model.picture_encoder import PictureEncoder

#: How much smaller the side of the correction is than that of the picture.
CORRECTED = 4
_BUILD = {BlockKind.MMRB: mmrb_blocks, BlockKind.NAF: naf_blocks}


def build_encoder(params: GanPriorParams) -> PictureEncoder:
    build = _BUILD[params.block]
    return PictureEncoder(params.widths, params.encoder_blocks, params.unshuffle, build, start)


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
        self.look = start(UnshuffledConv(2, params.looks[0], 3))
        self.stem = nn.ModuleList(
            start(nn.Conv2d(a, b, 3, stride=2, padding=1)) for a, b in pairwise(params.looks)
        )
        prior = dict(zip(params.prior_grids, params.prior_widths, strict=True))
        looks = [(params.size // 2 >> level, width) for level, width in enumerate(params.looks)]
        self.grids = [grid for grid, _ in looks if grid in prior]
        self.unseen = len(looks) - len(self.grids)  # first looks, where the generator has no grid
        self.bends = nn.ModuleList(Bend(width, prior[grid]) for grid, width in looks if grid in prior)

    def forward(self, low_quality: Tensor) -> Bending:
        """low_quality [N, 3, H, W] in 0..1, whole or a window: what is returned bends the same part."""
        seen = [activate(self.look(low_quality * 2 - 1))]
        for conv in self.stem:
            seen.append(activate(conv(seen[-1])))
        looks = zip(self.grids, self.bends, seen[self.unseen :], strict=True)
        return {grid: bend(x) for grid, bend, x in looks}


class Guidance(NamedTuple):
    """What the generator is to draw."""

    codes: Tensor  # [B, codes, style], differences from the mean code
    bending: Bending
    fine: Tensor  # [B, widths[0], g, g], the decoder's last features
    coarse: Tensor  # [B, widths[2], g/4, g/4], its first, which have seen the whole face


class Decoder(nn.Module):
    """Features on three grids to guidance: attention on the coarse one, then up with the encoder's features added.

    It also corrects the input at a quarter of its side (``correct``; at first by nothing): there is room for what a
    severely degraded face lacks, and what is enlarged smoothly prints no lattice, as RefSTAR's backbone did.
    """

    def __init__(self, params: GanPriorParams) -> None:
        super().__init__()
        fine, middle, coarse = params.widths
        build = _BUILD[params.block]
        self.grid, self.enlarged = params.grid, params.size // CORRECTED // params.grid
        self.bottom = build(coarse, params.bottom_blocks)
        self.attention = FaceAttention(coarse, params.heads, params.attention_layers, params.grid // 4)
        self.to_codes = ToCodes(params)
        self.up_middle = PixelUp(coarse, middle)
        self.middle = build(middle, params.decoder_blocks[1])
        self.up_fine = PixelUp(middle, fine)
        self.fine = build(fine, params.decoder_blocks[0])
        prior = dict(zip(params.prior_grids, params.prior_widths, strict=True))
        self.bend_coarse = Bend(coarse, prior[params.grid // 4])
        self.bend_middle = Bend(middle, prior[params.grid // 2])
        self.bend_fine = Bend(fine, prior[params.grid])
        self.correction = nn.Conv2d(fine, 3 * self.enlarged**2, 3, padding=1)
        for values in self.correction.parameters():
            nn.init.zeros_(values)

    def forward(self, seen: Grids, transfer: Transfer) -> Guidance:
        coarse = self.attention(self.bottom(transfer.coarse(seen.coarse)))
        middle = self.middle(transfer.middle(seen.middle + self.up_middle(coarse)))
        fine = self.fine(seen.fine + self.up_fine(middle))
        bending = {
            self.grid // 4: self.bend_coarse(coarse),
            self.grid // 2: self.bend_middle(middle),
            self.grid: self.bend_fine(fine),
        }
        return Guidance(self.to_codes(coarse), bending, fine, coarse)

    def correct(self, fine: Tensor) -> Tensor:
        """The last features [B, C, h, h], whole or a window, to what is added to that part of the input, fp32."""
        small = F.pixel_shuffle(self.correction(fine), self.enlarged).float()
        for _ in range(CORRECTED.bit_length() - 1):
            small = up(small)
        return small
