"""Is this the same person? One number per reference, before anybody asks where its detail would fit.

At the severe level a mask cannot tell place by place whether a crisp eye belongs to the face behind the blur; the
whole face, looked at once, can: recognizers separate right from wrong references there (docs/training.md).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from refstar_model.layers.blocks import ChannelNorm

#: Logit of a new gate: open to 0.9975, so that a net that had none keeps its function.
OPEN = 6.0


class FaceSummary(nn.Module):
    """Features [N, C, g, g] of a face on the template to one vector [N, D, 1, 1] of mean 0 and variance 1.

    Every place keeps weights of its own in the last layer: faces are aligned, and an eye is compared with an eye.
    """

    def __init__(self, channels: int, grid: int, hidden: int, size: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(channels)
        self.first = nn.Conv2d(channels, hidden, 3, stride=2, padding=1)
        self.second = nn.Conv2d(hidden, hidden, 3, stride=2, padding=1)
        self.whole = nn.Conv2d(hidden, size, grid // 4)
        self.normed = ChannelNorm(size)

    def forward(self, features: Tensor) -> Tensor:
        h = F.gelu(self.first(self.norm(features)))
        return self.normed(self.whole(F.gelu(self.second(h))))


class PersonGate(nn.Module):
    """Logit per reference that it shows the person of the degraded face."""

    def __init__(
        self, channels: int, reference_channels: int, grid: int, hidden: int = 64, size: int = 128
    ) -> None:
        """``channels`` of the face's features, ``reference_channels`` of the references', both on ``grid``."""
        super().__init__()
        self.own = FaceSummary(channels, grid, hidden, size)
        self.other = FaceSummary(reference_channels, grid, hidden, size)
        # The product of the two vectors, weighted: a correlation that may trust some directions more than others.
        self.weigh = nn.Conv2d(size, 1, 1)
        nn.init.zeros_(self.weigh.weight)
        assert self.weigh.bias is not None
        nn.init.constant_(self.weigh.bias, OPEN)

    def forward(self, own: Tensor, reference: Tensor) -> Tensor:
        """own [B, C, g, g], reference [B, R, C', g, g]; logits [B, R]."""
        batch, count = reference.shape[:2]
        face = self.own(own).unsqueeze(1)
        people = self.other(reference.flatten(0, 1)).unflatten(0, (batch, count))
        return self.weigh((face * people).flatten(0, 1)).reshape(batch, count)


def gated(weight: Tensor, logits: Tensor) -> Tensor:
    """The references' weight [B, R] as far as they are believed to show the person."""
    return weight * torch.sigmoid(logits.float()).to(weight.dtype)
