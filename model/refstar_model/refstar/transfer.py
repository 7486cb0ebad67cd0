"""Transfer in the features: dual-stream cross-attention (DSCA).

Two streams answer the same query with a softmax of their own: the self stream reads the degraded face, the reference
stream reads a reference. With one joint softmax a net can put all weight on its own keys and ignore the reference,
which the RefSTAR abstract (arXiv 2507.10470) calls the trivial solution. The mask decides between the streams:

    out = x + s * ((1 - sum_r m_r) A_self + sum_r m_r A_r)

Formulas and placement are ours; the paper's method section was not at hand. The joint softmax, and no attention at all,
can be chosen in its place to measure what the two streams are worth.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from refstar_model.backbone import UNAIDED, Grids, Transfer
from refstar_model.layers.blocks import ChannelNorm
from refstar_model.layers.summing import add_up
from refstar_model.refstar.params import Attention, RefStarParams

#: How sharply references compete: powers of the trust at a place, and of the mean trust in the whole reference.
LOCAL, WHOLE = 4, 100


def compete(trust: Tensor, weight: Tensor) -> Tensor:
    """Masks of several references that compete per place.

    ``trust`` [B, R, ...] in 0..1, each reference judged alone; ``weight`` [B, R] in 0..1, 0 = absent. Returns masks
    of the same shape with ``sum over R <= max over R of weight * trust``: the best reference sets how much is taken,
    and the references share it by

        trust^4 * (mean trust of the reference / that of the best reference)^100

    So the best reference as a whole gives nearly everything, and the others what it cannot: the mean of two
    photographs is a blurred one (docs/training.md has the measurements). The order does not matter, the same reference
    given twice counts once, and with one reference the mask is exactly its weighted trust.
    """
    trust = trust * weight.reshape(*weight.shape, *([1] * (trust.dim() - 2)))
    if trust.shape[1] == 1 and not torch.compiler.is_exporting():
        return trust
    flat = trust.flatten(2).float()
    # A product of matrices for the mean, for the reason that add_up gives.
    whole = flat @ torch.full((flat.shape[2], 1), 1 / flat.shape[2], dtype=flat.dtype, device=flat.device)
    # Not "+ 1e-12": the ONNX exporter's optimizer drops so small a term, and absent references became 0 / 0.
    ratio = (whole / whole.amax(1, keepdim=True).clamp(min=1e-6)).detach() ** WHOLE
    claim = flat.clamp(min=1e-4) ** LOCAL * ratio
    share = claim / add_up(claim).unsqueeze(1).clamp(min=1e-30)
    return (flat.amax(1, keepdim=True) * share).reshape(trust.shape).to(trust.dtype)


class CrossAttention(nn.Module):
    """Attention of a face to itself and to references on one grid, with two softmaxes or with one.

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
        dual: bool = True,
    ) -> None:
        """``value_channels``: channels of the reference values; ``pool_self`` halves the grid of the self keys."""
        super().__init__()
        self.heads, self.grid, self.pool_self, self.dual = heads, grid, pool_self, dual
        self.norm = ChannelNorm(channels)
        self.norm_reference = ChannelNorm(channels)
        self.query = nn.Conv2d(channels, heads * key_dim, 1)
        self.self_key = nn.Conv2d(channels, heads * key_dim, 1)
        self.self_value = nn.Conv2d(channels, channels, 1)
        self.reference_key = nn.Conv2d(channels, heads * key_dim, 1)
        self.reference_value = nn.Conv2d(value_channels, channels, 1)
        if dual:
            self.trust = nn.Conv2d(2 * channels, 1, 1)
        self.project = nn.Conv2d(channels, channels, 1)
        self.scale = nn.Parameter(torch.full((channels, 1, 1), 0.3))
        self.register_buffer("reference_bias", _distance_bias(grid, grid, sigma), persistent=False)
        self.register_buffer(
            "self_bias", _distance_bias(grid, grid // 2 if pool_self else grid, sigma), persistent=False
        )

    def forward(self, x: Tensor, reference: Tensor, value: Tensor, weight: Tensor) -> Tensor:
        """x [B, C, g, g]; reference [B, R, C, g, g]; value [B, R, V, g, g]; weight [B, R]. Returns [B, C, g, g]."""
        normed = self.norm(x)
        query = self._heads(self.query(normed))
        kept = F.avg_pool2d(normed, 2) if self.pool_self else normed
        own = self._heads(self.self_key(kept)), self._heads(self.self_value(kept))
        flat = self.norm_reference(reference.flatten(0, 1))
        other = (
            self._heads(self.reference_key(flat)),
            self._heads(self.reference_value(value.flatten(0, 1))),
        )
        mix = self._two_streams if self.dual else self._one_softmax
        return x + self.scale * self.project(mix(normed, query, own, other, weight))

    def alone(self, x: Tensor) -> Tensor:
        """What ``forward`` returns where every weight is 0: the face reads itself."""
        normed = self.norm(x)
        kept = F.avg_pool2d(normed, 2) if self.pool_self else normed
        key, value = self._heads(self.self_key(kept)), self._heads(self.self_value(kept))
        mine = self._attend(self._heads(self.query(normed)), key, value, self.self_bias)
        return x + self.scale * self.project(mine)

    def _two_streams(
        self,
        normed: Tensor,
        query: Tensor,
        own: tuple[Tensor, Tensor],
        other: tuple[Tensor, Tensor],
        weight: Tensor,
    ) -> Tensor:
        batch, count = weight.shape
        mine = self._attend(query, *own, self.self_bias)
        repeated = query.unsqueeze(1).expand(-1, count, -1, -1, -1).flatten(0, 1)
        theirs = self._attend(repeated, *other, self.reference_bias)
        beside = normed.unsqueeze(1).expand(-1, count, -1, -1, -1).flatten(0, 1)
        trust = torch.sigmoid(self.trust(torch.cat([beside, theirs], 1))).reshape(
            batch, count, 1, self.grid, self.grid
        )
        mask = compete(trust, weight.to(trust.dtype))
        return (1 - add_up(mask)) * mine + add_up(mask * theirs.unflatten(0, (batch, count)))

    def _one_softmax(
        self,
        normed: Tensor,
        query: Tensor,
        own: tuple[Tensor, Tensor],
        other: tuple[Tensor, Tensor],
        weight: Tensor,
    ) -> Tensor:
        """Keys of the face and of all references side by side; a weight scales its reference's terms of the softmax."""
        batch, count = weight.shape
        places = self.grid**2
        key, value = (
            torch.cat([a, b.unflatten(0, (batch, count)).transpose(1, 2).flatten(2, 3)], 2)
            for a, b in zip(own, other, strict=True)
        )
        # exp(-1e4) is exactly 0 in fp32 and bf16, so what an absent reference holds does not matter.
        share = torch.where(weight > 0, weight.clamp(min=1e-4).log(), torch.full_like(weight, -1e4))
        bias = self.reference_bias + share.reshape(batch, count, 1, 1)
        bias = bias.transpose(1, 2).reshape(batch, places, count * places)
        self_bias = self.self_bias.expand(batch, -1, -1)
        return self._attend(query, key, value, torch.cat([self_bias, bias], 2).unsqueeze(1))

    def _heads(self, x: Tensor) -> Tensor:
        """[N, C, h, w] to [N, heads, h * w, C / heads]."""
        return x.reshape(x.shape[0], self.heads, -1, x.shape[-2] * x.shape[-1]).transpose(2, 3)

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=bias.to(query.dtype))
        return attended.transpose(2, 3).reshape(query.shape[0], -1, self.grid, self.grid)


class FeatureTransfer(nn.Module):
    """Attention on the coarse and the middle grid; without attention it holds nothing."""

    def __init__(self, params: RefStarParams) -> None:
        super().__init__()
        fine, middle, coarse = params.widths
        grid, dual = params.grid, params.attention is Attention.DUAL
        self.active = params.attention is not Attention.NONE
        if self.active:
            self.coarse = CrossAttention(coarse, grid // 4, 2, 32, 1 / 5, coarse, pool_self=False, dual=dual)
            # Values also carry the finer grid, folded into channels: the keys need place, the values need detail.
            self.middle = CrossAttention(
                middle, grid // 2, 1, 48, 1 / 16, middle + 4 * fine, pool_self=True, dual=dual
            )

    def forward(self, references: Grids, weight: Tensor) -> Transfer:
        """What the references' features [B, R, ...] add to a backbone's; weight [B, R], 0 = absent."""
        if not self.active:
            return UNAIDED

        def coarse(x: Tensor) -> Tensor:
            return self.coarse(x, references.coarse, references.coarse, weight)

        def middle(x: Tensor) -> Tensor:
            folded = F.pixel_unshuffle(references.fine.flatten(0, 1), 2).unflatten(
                0, references.fine.shape[:2]
            )
            return self.middle(x, references.middle, torch.cat([references.middle, folded], 2), weight)

        return Transfer(middle, coarse)

    def alone(self) -> Transfer:
        """What is added where there is no reference."""
        return Transfer(self.middle.alone, self.coarse.alone) if self.active else UNAIDED


def _distance_bias(query_grid: int, key_grid: int, sigma: float) -> Tensor:
    """-(distance)^2 / (2 sigma^2) for all places; [query_grid^2, key_grid^2]; distances in widths.

    Rounded to fp16 values: the exported graph then stores the table in half its size without a difference.
    """

    def places(grid: int) -> Tensor:
        axis = (torch.arange(grid) + 0.5) / grid
        return torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)

    return -torch.cdist(places(query_grid), places(key_grid)).square().div(2 * sigma**2).half().float()
