"""A StyleGAN2 generator of faces (arXiv 1912.04958): mapping, modulated convolutions, colors added up over the grids.

It differs where a CPU needs it: what enlarges computes on the smaller grid, the finest grid is half of the picture's
side, and its twelve colors are shuffled to 2x2 pixels. By itself it is trained as any generator (``sample``, ``draw``);
in restoration the codec gives the codes and bends the features (``paint``).
"""

from collections.abc import Callable, Mapping
from itertools import pairwise
from math import sqrt
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from refstar_model.ganprior.modulation import EqualizedConv, StyledConv, ToPicture
from refstar_model.ganprior.params import GanPriorParams
from refstar_model.ganprior.window import Window
from refstar_model.layers.leaky import activate
from refstar_model.layers.pyramid import up

#: By grid, what is done to the features after its first convolution; keeps the shape.
Bending = Mapping[int, Callable[[Tensor], Tensor]]
UNBENT: Bending = {}

_MAPPING_RATE = 0.01  # of the learning rate, as in StyleGAN
_MEAN_SHARE = 0.005  # of a new batch in the mean code


class Painting(NamedTuple):
    features: Tensor  # [B, prior_widths[-1], f, f] on the finest grid f
    colors: Tensor  # [B, 3, f/2, f/2] in -1..1, not clamped: the picture as far as the grid below
    coarse_colors: Tensor  # [B, 3, g, g], the same on the codec's fine grid g; never a window


class Generator(nn.Module):
    """Faces [B, 3, 2f, 2f] in 0..1, not clamped, from codes; f is the finest grid."""

    mean_code: Tensor  # [style], of the codes that ``map`` returned in training

    def __init__(self, params: GanPriorParams) -> None:
        super().__init__()
        widths, style = params.prior_widths, params.style
        self.grids, self.codes, self.grid = params.prior_grids, params.codes, params.grid
        self.mapping = nn.ModuleList(
            EqualizedConv(style, style, rate=_MAPPING_RATE) for _ in range(params.mapping_layers)
        )
        self.register_buffer("mean_code", torch.zeros(style))
        self.constant = nn.Parameter(torch.randn(1, widths[0], 4, 4))
        self.begin = StyledConv(widths[0], widths[0], style)
        steps = list(pairwise(widths))
        self.enlarge = nn.ModuleList(StyledConv(a, b, style, enlarge=True) for a, b in steps)
        self.refine = nn.ModuleList(StyledConv(b, b, style) for _, b in steps)
        self.colors = nn.ModuleList(ToPicture(width, 3, style) for width in widths[:-1])
        self.finest_colors = ToPicture(widths[-1], 12, style)

    def map(self, z: Tensor) -> Tensor:
        """z to w, [B, style] both; z from a unit normal. In training the mean code follows."""
        w = (z * torch.rsqrt(z.square().mean(1, keepdim=True) + 1e-8))[:, :, None, None]
        for layer in self.mapping:
            w = activate(layer(w)) * sqrt(2)
        w = w.flatten(1)
        if self.training:
            with torch.no_grad():
                self.mean_code.lerp_(w.detach().float().mean(0), _MEAN_SHARE)
        return w

    def sample(self, z: Tensor, truncation: float = 1.0) -> Tensor:
        """Faces of nobody from z [B, style]; a ``truncation`` below 1 keeps near the mean face."""
        w = self.mean_code + truncation * (self.map(z) - self.mean_code)
        return self.draw(w.unsqueeze(1).expand(-1, self.codes, -1), noisy=self.training)

    def draw(self, codes: Tensor, bending: Bending = UNBENT, noisy: bool = False) -> Tensor:
        """Faces from W+ codes [B, codes, style], in which what ``bending`` says is done; ``noisy`` as for `paint`."""
        painted = self.paint(codes, bending, noisy)
        finest = self.finest_colors(painted.features, _code(codes, self.codes - 1))
        return 0.5 + 0.5 * (up(up(painted.colors)) + F.pixel_shuffle(finest, 2))

    def paint(
        self, codes: Tensor, bending: Bending, noisy: bool = False, window: Window | None = None
    ) -> Painting:
        """The finest features from W+ codes [B, codes, style]; each grid takes two of them, the first one.

        ``noisy`` adds noise after each convolution: detail that no code fixes, to be learnt with. A restored face must
        not depend on chance, so restoration never asks for it. With a ``window`` the grids above the codec's fine one
        are painted there only, and so is what ``bending`` gets there.
        """
        x = self.begin(self.constant, _code(codes, 0), noisy)
        x = _bend_features(x, bending, self.grids[0])
        coarse = colors = self.colors[0](x, _code(codes, 0))
        for level, (enlarge, refine) in enumerate(zip(self.enlarge, self.refine, strict=True), 1):
            x = _bend_features(enlarge(x, _code(codes, 2 * level - 1), noisy), bending, self.grids[level])
            x = refine(x, _code(codes, 2 * level), noisy)
            if level < len(self.colors):
                colors = up(colors) + self.colors[level](x, _code(codes, 2 * level))
            if self.grids[level] == self.grid:
                coarse = colors
                if window is not None:
                    x, colors = window.cut(x), window.cut(colors)
        return Painting(x, colors, coarse)


def _code(codes: Tensor, index: int) -> Tensor:
    """One of the codes as [B, style, 1, 1]."""
    return codes[:, index, :, None, None]


def _bend_features(x: Tensor, bending: Bending, grid: int) -> Tensor:
    return bending[grid](x) if grid in bending else x
