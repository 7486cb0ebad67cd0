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
        centered = x - self._mean(x)
        variance = self._mean(centered.square())
        return centered * torch.rsqrt(variance + 1e-6) * self.weight + self.bias

    def _mean(self, x: Tensor) -> Tensor:
        """Mean over the channels, [N, 1, h, w].

        In evaluation it is a 1x1 convolution: onnxruntime's ReduceMean splits its sum by how much work there is, so a
        face came out one level different, in single pixels, when others shared its batch.
        """
        if self.training:
            return x.mean(1, keepdim=True)
        return F.conv2d(x, torch.full((1, x.shape[1], 1, 1), 1 / x.shape[1], dtype=x.dtype, device=x.device))


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
        # A pool and not a mean over (2, 3), for the reason that ChannelNorm gives.
        y = y * self.attend(F.avg_pool2d(y, y.shape[-2:]))
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
