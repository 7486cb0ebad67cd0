"""Extraction and distribution of neural textures (NTED, CVPR 2022, as ENTED, arXiv 2401.06978, brings it to faces).

Of a reference's features F [c, h w] on one grid, normalized over the channels to F_n, k textures are taken; every place
of the drawn face X then gets a mix of them:

    extraction     A = softmax over places (W_e F_n + P_e)     [k, h w]        C = A (W_v F, I)^T   [k, c]
    distribution   S = softmax over textures (W_d X + P_d, 0)  [k + 1, h w]    T = C^T S_1..k       [c, h w]
                   X + (S_1 + ... + S_k) W_o g(T, X, J; w)

Differences from NTED. There is one texture more, the last, of nothing, so that a place need not take anything (a
stranger's, or what the reference does not show). Faces are aligned, and NTED's bodies are not: there are as many
textures as places, and P_e and P_d are learned preferences that begin with one texture for each, so that a new operator
takes from where it brings, and attention has to learn only what is elsewhere. On the fine grid a place of both is a
``cell`` of 2 x 2, whose texture holds all four (pixel unshuffle and shuffle): means over places leave no detail. Beside
what the encoder says a texture holds the colors I of its place, denser than the grid, and J are those of the degraded
face: what features alone were to carry was a blur after 250 steps, and the same for every reference. Attention did not
learn to look beside a place either, so textures are moved onto the face first (layers.alignment), which corresponding
points teach.

What is added is drawn by g, a modulated convolution, blocks and another one, of what is taken and of what is there; its
styles w are refined by the reference (`refinement`): the renderer behind it is trained already and does not change. And
W_o starts at zero, so that a new operator changes nothing.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from refstar_model.ganprior.modulation import StyledConv
from refstar_model.layers.alignment import warp
from refstar_model.layers.blocks import ChannelNorm, naf_blocks
from refstar_model.layers.folding import Weights, fix
from refstar_model.layers.pyramid import resize_grid
from refstar_model.layers.reference_weights import mix_by_shares, sum_weights

#: Style codes of one distribution.
STYLES = 2

#: Of modulated convolutions: at an equalized rate they hardly leave their start in a thousand steps.
_RATE = 10.0
_SPREAD = 0.3  # of a texture's places at first, in places
_NOTHING = -2.0  # the logit of nothing at first
_FOLDED = 512 * 512  # as many numbers the exporter adds up to a constant


def start_at_zero(conv: nn.Conv2d) -> nn.Conv2d:
    """What begins with nothing to say. Not equalized: that would take ten times as many steps to leave zero (after 144
    steps a reference had changed nothing yet)."""
    for value in conv.parameters():
        nn.init.zeros_(value)
    return conv


class Preference(nn.Module):
    """Logits [g g, g, g] of where each texture is at home: a row's and a column's each, added up.

    They begin as normal distributions about one place for each. ``nothing``: one texture more, the last, that is at
    home nowhere: its logits are 0.
    """

    def __init__(self, grid: int, nothing: bool = False) -> None:
        super().__init__()
        places = torch.arange(grid)
        near = -0.5 * ((places - places[:, None]) / _SPREAD).square()  # [g, g]
        self.nothing = nothing
        self.rows = nn.Parameter(near.repeat_interleave(grid, 0))
        self.columns = nn.Parameter(near.repeat(grid, 1))

    def forward(self) -> Tensor:
        home = self.rows[:, :, None] + self.columns[:, None, :]
        return torch.cat([home, home.new_zeros(1, *home.shape[1:])]) if self.nothing else home

    def fold(self) -> nn.Module:
        """One constant with a name, where an exporter would make one without."""
        with torch.no_grad():
            home = self()
        return FoldedPreference(home) if home.numel() <= _FOLDED else self

    def unfold(self, folded: Weights) -> dict[str, Tensor]:
        if "home" not in folded:
            return dict(folded)
        home = folded["home"][: self.rows.shape[0]].double()
        if home.shape != (*self.rows.shape, self.columns.shape[1]):
            raise ValueError(
                f"a preference is {list(home.shape)}, of {list(self.rows.shape)} in this network"
            )
        # One number may be moved from all rows to all columns: nothing changes.
        rows, columns = home.mean(2), home.mean(1) - home.mean((1, 2))[:, None]
        return {"rows": rows.float(), "columns": columns.float()}


class FoldedPreference(nn.Module):
    def __init__(self, home: Tensor) -> None:
        super().__init__()
        self.home = fix(home)

    def forward(self) -> Tensor:
        return self.home


class Sizes(NamedTuple):
    """Of the textures on one grid."""

    grid: int  # side
    cell: int  # side of what one texture holds, in places of the grid
    density: int  # side of a place, in its colors
    reference_width: int  # channels of a reference's features
    drawn_width: int  # of the drawn face's
    width: int  # of a texture
    hidden: int  # between what is taken and what is added
    blocks: int  # that draw it
    style: int

    @property
    def places(self) -> int:
        return self.grid // self.cell

    @property
    def colors(self) -> int:
        """Of the numbers of a texture, those that are colors: the last ones."""
        return 3 * (self.density * self.cell) ** 2

    @property
    def said(self) -> int:
        """The others: what the encoder says of a place."""
        return self.width - self.colors


class TextureExtraction(nn.Module):
    """Features [N, C, g, g] of references and their colors to a texture for each place."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        channels = sizes.reference_width * sizes.cell**2
        self.grid, self.cell, self.density = sizes.grid, sizes.cell, sizes.density
        self.norm = ChannelNorm(channels)
        self.look = start_at_zero(nn.Conv2d(channels, sizes.places**2, 1, bias=False))
        self.home = Preference(sizes.places)
        self.value = nn.Conv2d(channels, sizes.said, 1)

    def forward(self, x: Tensor, pictures: Tensor) -> Tensor:
        """``pictures`` [N, 3, S, S] in 0..1; returns [N, k, c]."""
        x = _join_cells(x, self.cell)
        colors = _join_cells(read_colors(pictures, self.grid, self.density), self.cell)
        # Places last in memory, as the preferences have them: else adding them takes ten times as long.
        logits = self.look(self.norm(x)).contiguous().float() + self.home()
        attention = torch.softmax(logits.flatten(2), 2)
        values = torch.cat([self.value(x), colors.to(x.dtype)], 1)
        return attention @ values.flatten(2).transpose(1, 2).float()


def read_colors(pictures: Tensor, grid: int, density: int) -> Tensor:
    """Pictures [N, 3, S, S] in 0..1 to the colors of each place, [N, 3 density^2, grid, grid] in -0.5..0.5."""
    return F.pixel_unshuffle(resize_grid(pictures, density * grid), density) - 0.5


def move_textures(textures: Tensor, displacement: Tensor, sizes: Sizes) -> Tensor:
    """Textures [B, R, k, c] at their homes, as a face sees them through displacements [B, R, 2, d, d] (`warp`)."""
    count, field = textures.shape[:2], displacement.flatten(0, 1)
    there = textures.flatten(0, 1).transpose(1, 2).unflatten(2, (sizes.places, sizes.places))
    said = F.pixel_shuffle(there[:, : sizes.said], sizes.cell)
    colors = F.pixel_shuffle(F.pixel_shuffle(there[:, sizes.said :], sizes.cell), sizes.density)
    colors = F.pixel_unshuffle(warp(colors, field), sizes.density)
    moved = torch.cat([_join_cells(warp(said, field), sizes.cell), _join_cells(colors, sizes.cell)], 1)
    return moved.flatten(2).transpose(1, 2).unflatten(0, count)


class Distributed(NamedTuple):
    features: Tensor  # [B, C, g, g]
    share: Tensor  # [B, 1, h, w] in 0..1, how much each place takes of all textures; the rest is taken of nothing
    colors: Tensor  # [B, 3, density g, density g], those that are taken
    drawn: Tensor  # [B, hidden, g, g], what the features and the detail (`detail`) are made of
    amount: Tensor  # [B, 1, g, g] in 0..1, that share as far as there are references


class Textures(NamedTuple):
    """Of all references of a face together, on one grid."""

    entries: Tensor  # [B, k, c]
    weight: Tensor  # [B, 1, 1, 1] in 0..1, 0: there are none


class TextureDistribution(nn.Module):
    """Adds to features [B, C, g, g] what each place takes of textures."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.cell, self.density, self.said = sizes.cell, sizes.density, sizes.said
        self.choose = start_at_zero(nn.Conv2d(sizes.drawn_width * self.cell**2, sizes.places**2 + 1, 1))
        assert self.choose.bias is not None
        with torch.no_grad():
            self.choose.bias[-1:] = _NOTHING
        self.home = Preference(sizes.places, nothing=True)
        seen = (self.said + sizes.colors) // self.cell**2 + 3 * self.density**2 + sizes.drawn_width
        self.mix = StyledConv(seen, sizes.hidden, sizes.style, rate=_RATE)
        self.blocks = naf_blocks(sizes.hidden, sizes.blocks)
        self.draw = StyledConv(sizes.hidden, sizes.hidden, sizes.style, rate=_RATE)
        self.bring = start_at_zero(nn.Conv2d(sizes.hidden, sizes.drawn_width, 3, padding=1))

    def forward(self, x: Tensor, shown: Tensor, textures: Textures, styles: Tensor) -> Distributed:
        """``shown`` [B, 3 density^2, g, g], the colors of the degraded face; styles [B, 2, style]."""
        logits = self.choose(_join_cells(x, self.cell)).contiguous().float() + self.home()
        shares = torch.softmax(logits, 1)  # [B, k + 1, h, w]
        entries = F.pad(textures.entries, (0, 0, 0, 1))  # the texture of nothing holds nothing
        taken = (entries.transpose(1, 2) @ shares.flatten(2)).unflatten(2, shares.shape[2:])
        share = 1 - shares[:, -1:]
        said, colors = (
            F.pixel_shuffle(part, self.cell) for part in (taken[:, : self.said], taken[:, self.said :])
        )
        all_there = torch.cat([said.to(x.dtype), colors.to(x.dtype), shown.to(x.dtype), x], 1)
        first, second = (styles[:, index, :, None, None] for index in range(STYLES))
        drawn = self.draw(self.blocks(self.mix(all_there, first)), second)
        amount = resize_grid(textures.weight * share, x.shape[-1]).to(x.dtype)
        features = x + amount * self.bring(drawn)
        return Distributed(features, share, F.pixel_shuffle(colors, self.density), drawn, amount)


def _join_cells(x: Tensor, cell: int) -> Tensor:
    """[N, C, g, g] to [N, C cell^2, g / cell, g / cell]."""
    return F.pixel_unshuffle(x, cell) if cell > 1 else x


def mix_textures(textures: Tensor, shares: Tensor, weight: Tensor) -> Textures:
    """Those of several references [B, R, k, c] by their shares [B, R] as one set.

    Its weight is min(1, sum_r w_r) of their weights [B, R] in 0..1 (0 = absent): a texture has the same home in all
    references. The order does not matter.
    """
    return Textures(mix_by_shares(textures, shares), sum_weights(weight).clamp(max=1)[:, :, None, None])


def share_selection(share: Tensor, shares: Tensor, weight: Tensor) -> Tensor:
    """How much of each reference is taken where: [B, R, h, w] in 0..1, of ``share`` [B, 1, h, w], the references'
    ``shares`` and weights [B, R]."""
    of_reference = shares * sum_weights(weight).clamp(max=1)
    return of_reference[:, :, None, None] * share
