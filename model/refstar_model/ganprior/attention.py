"""Self-attention of a face over its coarse grid, so that every place knows what the others drew: one pair of eyes."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from refstar_model.layers.blocks import ChannelNorm, scale_places
from refstar_model.layers.folding import FoldedConv, Weights
from refstar_model.layers.leaky import activate


class SelfAttention(nn.Module):
    """A layer of a transformer, norms first (arXiv 2002.04745); [N, C, h, w] in and out. A new one changes nothing.

    All products with weights are 1x1 convolutions, which onnxruntime keeps in its blocked layout and adds up in the
    same order for every batch.
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_read = ChannelNorm(channels)
        self.read = nn.Conv2d(channels, 3 * channels, 1)
        self.project = _zero(nn.Conv2d(channels, channels, 1))
        self.norm_widen = ChannelNorm(channels)
        self.widen = nn.Conv2d(channels, 2 * channels, 1)
        self.narrow = _zero(nn.Conv2d(2 * channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.project(attend(self._normalize(self.norm_read, self.read, x), self.heads))
        return x + self.narrow(activate(self._normalize(self.norm_widen, self.widen, x)))

    def fold(self) -> "FoldedAttention":
        return FoldedAttention(self)

    def unfold(self, folded: Weights) -> dict[str, Tensor]:
        """With norms of 1."""
        norms = (("norm_read", self.norm_read), ("norm_widen", self.norm_widen))
        neutral = {f"{name}.weight": torch.ones_like(norm.weight) for name, norm in norms}
        return {**folded, **neutral, **{f"{name}.bias": torch.zeros_like(norm.bias) for name, norm in norms}}

    def _normalize(self, norm: ChannelNorm, conv: nn.Conv2d, x: Tensor) -> Tensor:
        if self.training:
            return conv(norm(x))
        return F.conv2d(scale_places(x), *norm.fold_into(conv))


class FoldedAttention(nn.Module):
    """A layer whose norms are in its convolutions, for an export."""

    def __init__(self, layer: SelfAttention) -> None:
        super().__init__()
        self.heads = layer.heads
        self.read = FoldedConv(*layer.norm_read.fold_into(layer.read))
        self.widen = FoldedConv(*layer.norm_widen.fold_into(layer.widen))
        self.project, self.narrow = layer.project, layer.narrow

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.project(attend(self.read(scale_places(x)), self.heads))
        return x + self.narrow(activate(self.widen(scale_places(x))))


def attend(read: Tensor, heads: int) -> Tensor:
    """Queries, keys and values [N, 3 C, h, w] to [N, C, h, w]."""
    size = read.shape[-2:]
    query, key, value = (
        part.unflatten(1, (heads, -1)).flatten(3) for part in read.chunk(3, 1)
    )  # [N, heads, d, h * w]
    logits = (query * query.shape[2] ** -0.5).transpose(2, 3) @ key
    attended = torch.softmax(logits, 3).to(value.dtype) @ value.transpose(2, 3)
    return attended.transpose(2, 3).flatten(1, 2).unflatten(2, size)


class FaceAttention(nn.Module):
    """Several layers behind learnt positions; [N, C, g, g] in and out. Without layers it is the identity."""

    def __init__(self, channels: int, heads: int, layers: int, grid: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(SelfAttention(channels, heads) for _ in range(layers))
        if layers:
            self.position = nn.Parameter(0.02 * torch.randn(1, channels, grid, grid))

    def forward(self, x: Tensor) -> Tensor:
        if self.layers:
            x = x + self.position.to(x.dtype)
        for layer in self.layers:
            x = layer(x)
        return x


def _zero(conv: nn.Conv2d) -> nn.Conv2d:
    nn.init.zeros_(conv.weight)
    assert conv.bias is not None
    nn.init.zeros_(conv.bias)
    return conv
