"""Vector quantization: features replaced by the nearest vectors of a learnt dictionary (VQ-VAE, arXiv 1711.00937)."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class QuantizedGrid(NamedTuple):
    values: Tensor  # [N, C, h, w], code vectors; their gradient goes to what was quantized
    indices: Tensor  # [N, h, w], int64
    loss: Tensor  # scalar


class Quantizer(nn.Module):
    """A dictionary of ``count`` vectors with ``channels`` entries each.

    Vectors are drawn from a unit normal: bring features to unit scale (ChannelNorm) before they are quantized, else
    few vectors are ever nearest.
    """

    def __init__(self, count: int, channels: int, commitment: float = 0.25) -> None:
        super().__init__()
        self.commitment = commitment
        self.codes = nn.Parameter(torch.randn(count, channels))

    def nearest(self, z: Tensor) -> Tensor:
        """z [N, C, h, w] to the indices [N, h, w] of the nearest codes (Euclidean), in fp32 whatever z is in."""
        # |z - c|^2 = |z|^2 - 2 (z c - |c|^2 / 2), and |z|^2 is the same for all codes. In bf16 the scores' steps are as
        # wide as the nearest two are apart: a fifth of the places got another code than in the graph.
        with torch.autocast(z.device.type, enabled=False):
            score = F.conv2d(
                z.float(), self.codes[:, :, None, None].float(), -self.codes.float().square().sum(1) / 2
            )
        return score.argmax(1)

    def look_up(self, indices: Tensor) -> Tensor:
        """[N, h, w] to [N, C, h, w]."""
        return F.embedding(indices, self.codes).permute(0, 3, 1, 2)

    def average(self, logits: Tensor) -> Tensor:
        """The mean code under softmax(logits); [N, count, h, w] to [N, C, h, w]. No gradient to the dictionary."""
        weights = torch.softmax(logits, 1)
        return F.conv2d(weights, self.codes.detach().T[:, :, None, None].to(weights.dtype))

    def forward(self, z: Tensor) -> QuantizedGrid:
        """Quantize z [N, C, h, w] with the straight-through gradient.

        loss = |sg(z) - c|^2 + commitment * |z - sg(c)|^2, means over all entries; sg stops the gradient.
        """
        z = z.float()
        with torch.no_grad():
            indices = self.nearest(z)
        codes = self.look_up(indices)
        loss = F.mse_loss(codes, z.detach()) + self.commitment * F.mse_loss(z, codes.detach())
        return QuantizedGrid(z + (codes - z).detach(), indices, loss)
