"""Extraction and distribution of neural textures (NTED, CVPR 2022, as ENTED, arXiv 2401.06978, brings it to faces).

Of a reference's features F [c, h w] on one grid, normalized over the channels to F_n, k textures are taken; every place
of the drawn face then gets a mix of them:

    extraction     A = softmax over places (W_e F_n)          [k, h w]      C = A (W_v F)^T       [k, c]
    distribution   S = softmax over textures (W_d X)          [k + 1, h w]  X + W_o (C^T S_1..k)  [c', h w]

Two differences from NTED: there is one texture more, the last, of nothing, so that a place need not take anything (a
stranger's, or what the reference does not show); and W_o starts at zero, so that a new operator changes nothing.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from refstar_model.ganprior.modulation import EqualizedConv
from refstar_model.layers.blocks import ChannelNorm


class Extracted(NamedTuple):
    textures: Tensor  # [N, k, c]
    attention: Tensor  # [N, k, h w], A; each row adds up to 1


class TextureExtraction(nn.Module):
    """Features [N, C, h, w] of references to k textures of C entries each."""

    def __init__(self, channels: int, count: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(channels)
        self.look = nn.Conv2d(channels, count, 1, bias=False)
        self.value = EqualizedConv(channels, channels)

    def forward(self, x: Tensor) -> Extracted:
        attention = torch.softmax(self.look(self.norm(x)).flatten(2).float(), 2)
        return Extracted(attention @ self.value(x).flatten(2).transpose(1, 2).float(), attention)


class Distributed(NamedTuple):
    features: Tensor  # [B, C, h, w]
    shares: Tensor  # [B, k, h, w], what each place takes of each texture; the rest to 1 is taken of nothing
    logits: Tensor  # [B, k + 1, h, w], of the same


class TextureDistribution(nn.Module):
    """Adds to features [B, C, h, w] what each place takes of textures [B, k, c]."""

    def __init__(self, channels: int, count: int, texture_channels: int) -> None:
        super().__init__()
        self.choose = EqualizedConv(channels, count + 1)
        self.bring = EqualizedConv(texture_channels, channels, bias=None, zero=True)

    def forward(self, x: Tensor, textures: Tensor) -> Distributed:
        logits = self.choose(x).float()
        shares = torch.softmax(logits, 1)[:, :-1]
        taken = (textures.transpose(1, 2) @ shares.flatten(2)).unflatten(2, x.shape[2:])
        return Distributed(x + self.bring(taken.to(x.dtype)), shares, logits)


def mix_textures(textures: Tensor, weight: Tensor) -> Tensor:
    """Those of several references [B, R, k, c] by their weights [B, R] in 0..1 (0 = absent) as one set [B, k, c].

    sum_r w_r C_r / max(1, sum_r w_r): a texture has the same place among its like in all references. The order does not
    matter, and one reference of half the weight gives half of its textures. Products of matrices and no sums: the order
    in which onnxruntime adds depends on the batch.
    """
    return (_normalize(weight).unsqueeze(1) @ textures.flatten(2)).unflatten(2, textures.shape[2:]).squeeze(1)


def _normalize(weight: Tensor) -> Tensor:
    """[B, R] in 0..1 so that no row adds up to more than 1."""
    weight = weight.float()
    ones = torch.ones(weight.shape[1], 1, dtype=weight.dtype, device=weight.device)
    return weight / (weight @ ones).clamp(min=1)


def share_selection(shares: Tensor, weight: Tensor) -> Tensor:
    """How much of each reference is taken where: [B, R, h, w] in 0..1, of ``shares`` [B, k, h, w], weight [B, R]."""
    ones = torch.ones(1, shares.shape[1], dtype=shares.dtype, device=shares.device)
    taken = (ones @ shares.flatten(2)).unflatten(2, shares.shape[2:])  # [B, 1, h, w]
    return _normalize(weight)[:, :, None, None] * taken
