"""Reconstruction: what the blend cannot do, drawn by a small network that sees the blend and all that it was made of.

    out = blend + a (shuffle(Y) + up(up(C))),     a = max_r w_r

Bands that are copied from another photograph end where the mask does, lie a little beside where they belong, and say
nothing of hair and clothes that are elsewhere. Y [4] is luminance at half of the side, C [3] colors at a quarter of it:
fine color that a network invents at lids and teeth is green and magenta. The network goes down to the masks' grid,
where it meets the features of the face and of the references, and comes up again. ``a`` is how much the references
count (their weights w behind the person gate), so that a stranger's leaves the picture as it was. The last convolutions
start at zero.

The paper's third part feeds what was transferred to its backbone's decoder and asks that the reference can be recovered
from the result (`cycle`); this is ours.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from refstar_model.layers.folding import UnshuffledConv
from refstar_model.layers.leaky import activate, start
from refstar_model.layers.pyramid import up


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
        self.enlarge = unshuffle // 4
        self.color = nn.Conv2d(quarter, 3, 3, padding=1)
        self.luminance = nn.Conv2d(half, 4, 3, padding=1)
        for conv in (self.color, self.luminance):
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
        quarter = self.on_quarter(quarter + _double(grid, self.enlarge))
        half = self.on_half(half + up(self.up_half(quarter)))
        luminance = F.pixel_shuffle(self.luminance(activate(half)).float(), 2)
        return luminance + up(up(self.color(activate(quarter)).float()))


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


def _double(x: Tensor, factor: int) -> Tensor:
    while factor > 1:
        x, factor = up(x), factor // 2
    return x
