"""Selection: from the degraded face and one reference, how far each band of the reference may be taken at each place.

The paper's RefSel predicts one binary mask; ours is soft and has one channel per Laplacian band, since a reference may
be right about the pores of a cheek and wrong about its shading.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

#: Center and half axes of the face on the 512 template, in picture widths: the start of the position logit.
FACE_CENTER, FACE_AXES = (0.5, 0.57), (0.30, 0.38)


def face_window(grid: int) -> Tensor:
    """1 inside the template's face ellipse, 0 outside, soft over a tenth of the radius; [grid, grid]."""
    axis = (torch.arange(grid) + 0.5) / grid
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    radius = (((x - FACE_CENTER[0]) / FACE_AXES[0]) ** 2 + ((y - FACE_CENTER[1]) / FACE_AXES[1]) ** 2).sqrt()
    return torch.sigmoid((1 - radius) / 0.05)


class SelectionHead(nn.Module):
    """Trust per band and reference, judged for each reference alone."""

    def __init__(self, channels: int, hidden: int, bands: int, unshuffle: int, grid: int) -> None:
        super().__init__()
        self.unshuffle = unshuffle
        self.difference = nn.Conv2d(3 * unshuffle**2, channels, 1)
        self.mix = nn.Conv2d(3 * channels + 1, hidden, 1)
        self.middle = nn.Conv2d(hidden, hidden, 3, padding=1)
        self.out = nn.Conv2d(hidden, bands, 3, padding=1)
        nn.init.zeros_(self.out.weight)
        assert self.out.bias is not None
        nn.init.zeros_(self.out.bias)
        # A new net starts by taking from inside the face and hardly anything outside it.
        self.position = nn.Parameter((face_window(grid) * 5 - 4).repeat(bands, 1, 1))

    def forward(self, y: Tensor, reference: Tensor, difference: Tensor, fidelity: Tensor) -> Tensor:
        """Logits [B, R, bands, g, g].

        y [B, C, g, g]: decoder features; reference [B, R, C, g, g]: reference features on the same grid;
        difference [B, R, 3, H, W]: restored without reference minus reference picture; fidelity [B] in 0..1.
        """
        batch, count = reference.shape[:2]
        beside = y.unsqueeze(1).expand(-1, count, -1, -1, -1)
        apart = self.difference(F.pixel_unshuffle(difference.flatten(0, 1), self.unshuffle)).unflatten(
            0, (batch, count)
        )
        knob = fidelity.to(y.dtype).reshape(batch, 1, 1, 1, 1).expand(-1, count, 1, *y.shape[-2:])
        h = F.gelu(self.mix(torch.cat([beside, reference, apart, knob], 2).flatten(0, 1)))
        h = F.gelu(self.middle(h))
        return (self.out(h) + self.position).unflatten(0, (batch, count))
