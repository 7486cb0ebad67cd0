"""Transfer in the features: dual-stream cross-attention (DSCA).

Two streams answer the same query with a softmax of their own: the self stream reads the degraded face, the reference
stream reads a reference. With one joint softmax a net can put all weight on its own keys and ignore the reference,
which the RefSTAR abstract (arXiv 2507.10470) calls the trivial solution. The mask decides between the streams:

    out = x + s * ((1 - sum_r m_r) A_self + sum_r m_r A_r)

Formulas and placement are ours; the paper's method section was not at hand.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from refstar_model.layers.blocks import ChannelNorm


def add_up(x: Tensor) -> Tensor:
    """Sum over the references: [B, R, ...] to [B, ...].

    A matrix product in the exported graph: the order in which onnxruntime's ReduceSum adds depends on the batch, and
    a face must get the same bytes alone and in company.
    """
    if not torch.compiler.is_exporting():
        return x.sum(1)
    ones = torch.ones(1, x.shape[1], dtype=x.dtype, device=x.device)
    return (ones @ x.flatten(2)).squeeze(1).reshape(x.shape[0], *x.shape[2:])


def compete(trust: Tensor, weight: Tensor) -> Tensor:
    """Masks of several references that compete per place.

    ``trust`` [B, R, ...] in 0..1, each reference judged alone; ``weight`` [B, R] in 0..1, 0 = absent. Returns masks
    of the same shape with ``sum over R <= max over R of weight * trust``: the best reference sets how much is taken,
    the references share it by the square of their trust. So the order does not matter, the same reference given
    twice counts once, and with one reference the mask is exactly its weighted trust.
    """
    trust = trust * weight.reshape(*weight.shape, *([1] * (trust.dim() - 2)))
    squared = trust.square()
    # Not "+ 1e-12": the ONNX exporter's optimizer drops so small a term, and absent references became 0 / 0.
    share = squared / add_up(squared).unsqueeze(1).clamp(min=1e-8)
    return trust.amax(1, keepdim=True) * share


class DualStreamCrossAttention(nn.Module):
    """DSCA on one grid.

    The logits carry a fixed Gaussian distance term (sigma in widths of the grid): both faces stand on the same
    template, so a place should first look at its own surroundings in the reference.
    """

    reference_bias: Tensor
    self_bias: Tensor

    def __init__(
        self,
        channels: int,
        grid: int,
        heads: int,
        key_dim: int,
        sigma: float,
        value_channels: int,
        pool_self: bool,
    ) -> None:
        """``value_channels``: channels of the reference values; ``pool_self`` halves the grid of the self keys."""
        super().__init__()
        self.heads, self.grid, self.pool_self = heads, grid, pool_self
        self.norm = ChannelNorm(channels)
        self.norm_reference = ChannelNorm(channels)
        self.query = nn.Conv2d(channels, heads * key_dim, 1)
        self.self_key = nn.Conv2d(channels, heads * key_dim, 1)
        self.self_value = nn.Conv2d(channels, channels, 1)
        self.reference_key = nn.Conv2d(channels, heads * key_dim, 1)
        self.reference_value = nn.Conv2d(value_channels, channels, 1)
        self.trust = nn.Conv2d(2 * channels, 1, 1)
        self.project = nn.Conv2d(channels, channels, 1)
        self.scale = nn.Parameter(torch.full((channels, 1, 1), 0.3))
        self.register_buffer("reference_bias", _distance_bias(grid, grid, sigma), persistent=False)
        self.register_buffer(
            "self_bias", _distance_bias(grid, grid // 2 if pool_self else grid, sigma), persistent=False
        )

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
        n, channels = value.shape[:2]
        q, k, v = (
            t.reshape(n, self.heads, -1, t.shape[-2] * t.shape[-1]).transpose(2, 3)
            for t in (query, key, value)
        )
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q.dtype))
        return attended.transpose(2, 3).reshape(n, channels, self.grid, self.grid)

    def forward(self, x: Tensor, reference: Tensor, value: Tensor, weight: Tensor) -> Tensor:
        """x [B, C, g, g]; reference [B, R, C, g, g]; value [B, R, V, g, g]; weight [B, R]. Returns [B, C, g, g]."""
        batch, count = reference.shape[:2]
        normed = self.norm(x)
        query = self.query(normed)
        kept = F.avg_pool2d(normed, 2) if self.pool_self else normed
        own = self._attend(query, self.self_key(kept), self.self_value(kept), self.self_bias)

        flat = self.norm_reference(reference.flatten(0, 1))
        repeated = query.unsqueeze(1).expand(-1, count, -1, -1, -1).flatten(0, 1)
        other = self._attend(
            repeated, self.reference_key(flat), self.reference_value(value.flatten(0, 1)), self.reference_bias
        )
        beside = normed.unsqueeze(1).expand(-1, count, -1, -1, -1).flatten(0, 1)
        trust = torch.sigmoid(self.trust(torch.cat([beside, other], 1))).reshape(
            batch, count, 1, self.grid, self.grid
        )
        mask = compete(trust, weight.to(trust.dtype))
        mixed = (1 - add_up(mask)) * own + add_up(mask * other.unflatten(0, (batch, count)))
        return x + self.scale * self.project(mixed)


def _distance_bias(query_grid: int, key_grid: int, sigma: float) -> Tensor:
    """-(distance)^2 / (2 sigma^2) for all places; [query_grid^2, key_grid^2]; distances in widths.

    Rounded to fp16 values: the exported graph then stores the table in half its size without a difference.
    """

    def places(grid: int) -> Tensor:
        axis = (torch.arange(grid) + 0.5) / grid
        return torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)

    return -torch.cdist(places(query_grid), places(key_grid)).square().div(2 * sigma**2).half().float()
