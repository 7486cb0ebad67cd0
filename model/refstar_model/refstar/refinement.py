"""Refinement of the self stream at half size.

The decoder's 64 channels per place of the mask's grid must carry 8x8 pixels of three colors; hair and background get
what is left. Two residual blocks at half size see pixels. Dense convolutions with 16 channels: on a CPU they cost half
of what depthwise ones with the same reach do (docs/training.md has the table).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from refstar_model.layers.folding import UnshuffledConv
from refstar_model.refstar.params import RefStarParams


class Refinement(nn.Module):
    """Adds to a picture; a new one adds zero."""

    def __init__(self, params: RefStarParams) -> None:
        super().__init__()
        channels, self.factor = params.refinement, params.unshuffle // 2
        self.look = UnshuffledConv(2, channels, 3, 6)
        self.features = nn.Conv2d(params.widths[0], channels * self.factor**2, 1)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(channels, channels, 3, padding=1),
                nn.ReLU(),
                nn.Conv2d(channels, channels, 3, padding=1),
            )
            for _ in range(2)
        )
        self.out = nn.Conv2d(channels, 12, 3, padding=1)
        nn.init.zeros_(self.out.weight)
        assert self.out.bias is not None
        nn.init.zeros_(self.out.bias)

    def forward(self, picture: Tensor, low_quality: Tensor, y: Tensor) -> Tensor:
        """picture (the self stream) and low_quality [B, 3, H, W], y [B, widths[0], g, g]; returns [B, 3, H, W]."""
        both = torch.cat([picture.to(y.dtype), low_quality.to(y.dtype)], 1)
        x = self.look(both * 2 - 1)
        x = x + F.pixel_shuffle(self.features(y), self.factor)
        for block in self.blocks:
            x = x + block(x)
        return picture + F.pixel_shuffle(self.out(x), 2).float()
