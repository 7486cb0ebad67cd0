"""Convolution blocks shared by the networks. They know nothing of references or masks."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ChannelNorm(nn.Module):
    """Layer normalization over the channels of each place; [N, C, h, w] in and out."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(1, keepdim=True)
        centered = x - mean
        variance = centered.square().mean(1, keepdim=True)
        return centered * torch.rsqrt(variance + 1e-6) * self.weight + self.bias


class NafBlock(nn.Module):
    """Gated block without activation functions (NAFNet, arXiv 2204.04676, fig. 3); [N, C, h, w] in and out.

    Both branches start at zero (``beta``, ``gamma``), so a new block is the identity.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1 = ChannelNorm(channels)
        self.expand = nn.Conv2d(channels, 2 * channels, 1)
        self.depthwise = nn.Conv2d(2 * channels, 2 * channels, 3, padding=1, groups=2 * channels)
        self.attend = nn.Conv2d(channels, channels, 1)
        self.project = nn.Conv2d(channels, channels, 1)
        self.norm2 = ChannelNorm(channels)
        self.widen = nn.Conv2d(channels, 2 * channels, 1)
        self.narrow = nn.Conv2d(channels, channels, 1)
        self.beta = nn.Parameter(torch.zeros(channels, 1, 1))
        self.gamma = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        left, right = self.depthwise(self.expand(self.norm1(x))).chunk(2, 1)
        y = left * right
        y = y * self.attend(y.mean((2, 3), keepdim=True))
        x = x + self.beta * self.project(y)
        left, right = self.widen(self.norm2(x)).chunk(2, 1)
        return x + self.gamma * self.narrow(left * right)


def naf_blocks(channels: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(NafBlock(channels) for _ in range(count)))


class PixelUp(nn.Module):
    """[N, C, h, w] to [N, D, 2h, 2w] by a 1x1 convolution and pixel shuffle."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 4 * out_channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(self.conv(x), 2)
