"""Reconstruction: what the blend cannot do, by a small network that sees the blend and all that it was made of.

    out = blend + a (sum_b m_b (R_b - blend_b) + n_b (S_b - blend_b) + shuffle(Y) + up(up(C)))
    a = max_r w_r min(1, 3 mean_b sum_r M_b,r) (1 - 0.8 fidelity, in evaluation)

Masks of the selection live on a grid of 8 x 8 pixels, and each reference is judged by what is near. So bands end where
the mask does, a mouth or a lid that does not belong there is drawn over the face, and hair stays soft. Here the four
finest bands b are chosen anew, of the references R and of the self stream S, pixel by pixel: m and n in -1..1 are on
grids of half and of a quarter of the side. So to copy and to take back is to open a mask, and only what neither
picture has must be drawn: Y, luminance at half of the side, and C, colors at a quarter of it. Fine color at lids and in
eyes was green and magenta, drawn or taken, so luminance alone is taken of the two finest bands.

The network goes down to the masks' grid, where it meets the features of the face and of the references, and comes up
again. ``a`` is how much the references count (their weights w behind the person gate), so that a stranger's leaves the
picture as it was, where the selection takes something of them (M). The last convolutions start at zero.

What was learned with a discriminator overshoots, and .6 of it is nearer to the person and to the truth than all of it
(docs/training.md). So `fidelity` says how much of it there is, once it has been learned.

The paper's third part feeds what was transferred to its backbone's decoder and asks that the reference can be recovered
from the result (`cycle`); this is ours.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from refstar_model.layers.color import luminance
from refstar_model.layers.folding import UnshuffledConv
from refstar_model.layers.leaky import activate, start
from refstar_model.layers.pyramid import collapse, double_to, down, laplacian, up

#: Finest bands that are chosen anew: two by masks at half of the side, two by masks at a quarter.
_BANDS = 4
#: Of these, the finest, of which color stays as it is.
_GRAY_BANDS = 2


class Reconstruction(nn.Module):
    """``width``: channels at half of the side; twice as many at a quarter, four times on the grid of the masks."""

    def __init__(self, width: int, features: int, bands: int, unshuffle: int) -> None:
        """``features``: channels of those of the face, and of those of the references."""
        super().__init__()
        half, quarter, grid = width, 2 * width, 4 * width
        self.look = start(UnshuffledConv(2, half, 3, 12))
        self.to_quarter = start(nn.Conv2d(half, quarter, 2, stride=2))
        self.to_grid = start(nn.Conv2d(quarter, grid, unshuffle // 4, stride=unshuffle // 4))
        self.meet = start(nn.Conv2d(2 * features + bands + 1, grid, 1))
        self.on_grid = _blocks(grid, 2)
        self.up_quarter = start(nn.Conv2d(grid, quarter, 1))
        self.on_quarter = _blocks(quarter, 2)
        self.up_half = start(nn.Conv2d(quarter, half, 1))
        self.on_half = _blocks(half, 1)
        self.color = nn.Conv2d(quarter, 3, 3, padding=1)
        self.luminance = nn.Conv2d(half, 4, 3, padding=1)
        self.choose_finest = nn.Conv2d(half, _BANDS, 3, padding=1)  # m and n of two bands
        self.choose_fine = nn.Conv2d(quarter, _BANDS, 3, padding=1)
        for conv in (self.color, self.luminance, self.choose_finest, self.choose_fine):
            for values in conv.parameters():
                nn.init.zeros_(values)

    def forward(self, pictures: Tensor, features: Tensor, masks: Tensor, fidelity: Tensor) -> Tensor:
        """What is to be added, [B, 3, H, W], fp32.

        pictures [B, 12, H, W] in 0..1: the blend, the self stream, the degraded face and the references; features
        [B, 2 C, g, g] of the face and of the references; masks [B, bands, g, g] in 0..1; fidelity [B] in 0..1.
        """
        knob = fidelity.to(features.dtype).reshape(-1, 1, 1, 1).expand(-1, 1, *features.shape[-2:])
        half = activate(self.look(pictures.to(features.dtype) * 2 - 1))
        quarter = activate(self.to_quarter(half))
        grid = self.to_grid(quarter) + self.meet(torch.cat([features, masks.to(features.dtype), knob], 1))
        grid = self.up_quarter(self.on_grid(activate(grid)))
        quarter = self.on_quarter(quarter + double_to(grid, quarter.shape[-1]))
        half = self.on_half(half + up(self.up_half(quarter)))
        half, quarter = activate(half), activate(quarter)
        drawn = F.pixel_shuffle(self.luminance(half).float(), 2) + up(up(self.color(quarter).float()))
        return drawn + self._choose(pictures.float(), half, quarter)

    def _choose(self, pictures: Tensor, half: Tensor, quarter: Tensor) -> Tensor:
        """What the bands of references and self stream change, [B, 3, H, W]; pictures as for ``forward``."""
        blend, own, _, references = pictures.split(3, 1)
        apart = torch.cat([references - blend, own - blend], 1)
        finest, fine = (
            torch.tanh(conv(x).float())
            for conv, x in ((self.choose_finest, half), (self.choose_fine, quarter))
        )
        masks = (up(finest[:, :2]), finest[:, 2:], fine[:, :2], down(fine[:, 2:]))
        taken = []
        for index, (mask, band) in enumerate(zip(masks, laplacian(apart, _BANDS), strict=True)):
            of_references, of_own = band.split(3, 1)
            if index < _GRAY_BANDS:
                of_references, of_own = (luminance(x).expand_as(x) for x in (of_references, of_own))
            taken.append(mask[:, :1] * of_references + mask[:, 1:] * of_own)
        return collapse(taken)


class _Block(nn.Module):
    """Two dense convolutions added to what comes in: on a CPU they are as cheap as depthwise ones of the same reach."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = start(nn.Conv2d(channels, channels, 3, padding=1))
        self.second = start(nn.Conv2d(channels, channels, 3, padding=1), 0.3)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(activate(self.first(activate(x))))


def _blocks(channels: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(_Block(channels) for _ in range(count)))
