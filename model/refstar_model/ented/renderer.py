"""The StyleGAN-like renderer: from the latent on the coarse grid up, with modulated convolutions and textures.

On the three grids where there are some, textures are distributed behind the first convolution, as in NTED; there the
features of the degraded face bend them too (the residual connections of ENTED's figure 1, in the form that system 3
has). The convolutions are system 3's.
"""

from itertools import pairwise
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from refstar_model.backbone import Grids
from refstar_model.ented.params import EntedParams
from refstar_model.ented.textures import Distributed, TextureDistribution
from refstar_model.ganprior.codec import Bend, FineBends
from refstar_model.ganprior.modulation import StyledConv, ToPicture
from refstar_model.layers.pyramid import up


class Rendering(NamedTuple):
    features: Tensor  # [B, C, f, f] on the finest grid f
    colors: Tensor  # [B, 3, f/2, f/2] in -1..1, not clamped: the picture as far as the grid below
    finest_colors: Tensor | None  # [B, 3, 2f, 2f], what the finest grid adds; where the input adds nothing
    distributed: dict[int, Distributed]  # by grid


class Renderer(nn.Module):
    def __init__(self, params: EntedParams) -> None:
        super().__init__()
        style = params.base.style
        self.grids, widths = tuple(params.rendered), tuple(params.rendered.values())
        self.begin = StyledConv(widths[0], widths[0], style)
        steps = list(pairwise(widths))
        self.enlarge = nn.ModuleList(StyledConv(a, b, style, enlarge=True) for a, b in steps)
        self.refine = nn.ModuleList(StyledConv(b, b, style) for _, b in steps)
        self.colors = nn.ModuleList(ToPicture(width, 3, style) for width in widths[:-1])
        rows = list(
            zip(params.grids, params.base.widths, params.textures, params.reference_widths, strict=True)
        )
        self.textured = [grid for grid, *_ in rows] if params.distribution else []
        if params.distribution:
            self.distributions = nn.ModuleList(
                TextureDistribution(params.rendered[grid], count, channels)
                for grid, _, count, channels in rows
            )
        self.bent = [grid for grid, *_ in rows] if params.residual else []
        if params.residual:
            self.bends = nn.ModuleList(Bend(width, params.rendered[grid]) for grid, width, *_ in rows)
            self.fine_bends = FineBends(params.base)
        else:
            self.finest_colors = ToPicture(widths[-1], 12, style)

    def forward(
        self,
        latent: Tensor,
        styles: Tensor,
        seen: Grids,
        low_quality: Tensor,
        textures: tuple[Tensor, Tensor, Tensor] | None,
    ) -> Rendering:
        """latent [B, C, g, g] on the coarse grid; styles [B, n, style]; ``seen`` of the degraded face, low_quality
        [B, 3, S, S] in 0..1; textures [B, k, c] by grid, fine to coarse, None without references."""
        bending = (
            dict(zip(self.bent, (bend(x) for bend, x in zip(self.bends, seen, strict=True)), strict=True))
            if (self.bent)
            else {}
        )
        if self.bent:
            bending |= self.fine_bends(low_quality)
        taken: dict[int, Distributed] = {}

        def join(x: Tensor, grid: int) -> Tensor:
            if grid in bending:
                x = bending[grid](x)
            if textures is not None and grid in self.textured:
                place = self.textured.index(grid)
                taken[grid] = self.distributions[place](x, textures[place])
                x = taken[grid].features
            return x

        x = join(self.begin(latent, _style(styles, 0)), self.grids[0])
        colors = self.colors[0](x, _style(styles, 0))
        for level, (enlarge, refine) in enumerate(zip(self.enlarge, self.refine, strict=True), 1):
            x = join(enlarge(x, _style(styles, 2 * level - 1)), self.grids[level])
            x = refine(x, _style(styles, 2 * level))
            if level < len(self.colors):
                colors = up(colors) + self.colors[level](x, _style(styles, 2 * level))
        finest = None
        if not self.bent:
            finest = F.pixel_shuffle(self.finest_colors(x, _style(styles, styles.shape[1] - 1)), 2)
        return Rendering(x, colors, finest, taken)


def _style(styles: Tensor, index: int) -> Tensor:
    """One of the codes as [B, style, 1, 1]."""
    return styles[:, index, :, None, None]
