"""Convolution blocks shared by the networks. They know nothing of references or masks."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def conv_unshuffled(conv: nn.Conv2d, x: Tensor, factor: int) -> Tensor:
    """``conv(pixel_unshuffle(x, factor))``; [N, C, h, w] to [N, D, h / factor, w / factor].

    In evaluation it is one convolution with a wide kernel and stride ``factor``: the same products, without the
    transposition of a whole picture.
    """
    if conv.training:
        out: Tensor = conv(F.pixel_unshuffle(x, factor))
        return out
    size, pad = conv.kernel_size[0], conv.padding[0]
    assert isinstance(pad, int)
    kernel = conv.weight.reshape(-1, x.shape[1], factor, factor, size, size).permute(0, 1, 4, 2, 5, 3)
    kernel = kernel.reshape(-1, x.shape[1], size * factor, size * factor)
    return F.conv2d(x, kernel, conv.bias, stride=factor, padding=pad * factor)


class ChannelNorm(nn.Module):
    """Layer normalization over the channels of each place; [N, C, h, w] in and out."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            # One pass where channels lie last, in x's precision with sums in fp32. Written out it is six, in fp32, and
            # its gradient comes back with channels first, which made every sum with it ten times as slow.
            places = x.permute(0, 2, 3, 1)
            normed = F.layer_norm(places, places.shape[-1:], self.weight.flatten(), self.bias.flatten(), 1e-6)
            return normed.permute(0, 3, 1, 2)
        centered = x - self._mean(x)
        variance = self._mean(centered * centered)
        return centered * torch.rsqrt(variance + 1e-6) * self.weight + self.bias

    def into(self, conv: nn.Conv2d, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """``conv(self(x))`` for a 1x1 ``conv`` as ``F.conv2d`` of what is returned: scaled x, kernel and bias.

        Centering, weight and bias of the norm are linear and go into the kernel; what is left of it is one factor per
        place, 1 / sd. For evaluation: x is passed over three times fewer.
        """
        mean = self._mean(x)
        variance = (self._mean(x * x) - mean * mean).clamp(min=0)
        kernel, channels = conv.weight.flatten(1), x.shape[1]
        weighed = kernel * self.weight.flatten()
        centering = torch.full((channels, 1), 1 / channels, dtype=x.dtype, device=x.device)
        bias = kernel @ self.bias.flatten()
        if conv.bias is not None:
            bias = bias + conv.bias
        return x * torch.rsqrt(variance + 1e-6), (weighed - weighed @ centering)[:, :, None, None], bias

    def _mean(self, x: Tensor) -> Tensor:
        """Mean over the channels, [N, 1, h, w].

        A 1x1 convolution: onnxruntime's ReduceMean splits its sum by how much work there is, so a face came out one
        level different, in single pixels, when others shared its batch.
        """
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
        if not self.training:
            return self._fold_norm(x)
        left, right = self.depthwise(self.expand(self.norm1(x))).chunk(2, 1)
        y = left * right
        y = y * self.attend(F.avg_pool2d(y, y.shape[-2:]))
        # The factors go into the kernels, so that x stays in autocast's precision: a parameter times x is fp32.
        x = x + _times(self.beta, self.project, y)
        left, right = self.widen(self.norm2(x)).chunk(2, 1)
        return x + _times(self.gamma, self.narrow, left * right)

    def _fold_norm(self, x: Tensor) -> Tensor:
        """The same function with all constants in the kernels and the gates' halves as convolutions of their own.

        Between convolutions onnxruntime keeps channels in blocks; what is not a convolution, a product or a sum of
        two such tensors costs two copies. That, and passes over x, took a third of the time.
        """
        channels = x.shape[1]
        halves = slice(0, channels), slice(channels, 2 * channels)
        scaled, kernel, bias = self.norm1.into(self.expand, x)
        deep = self.depthwise
        assert deep.bias is not None
        left, right = (
            F.conv2d(
                F.conv2d(scaled, kernel[half], bias[half]),
                deep.weight[half],
                deep.bias[half],
                padding=1,
                groups=channels,
            )
            for half in halves
        )
        y = left * right
        # A pool and not a mean over (2, 3), for the reason that ChannelNorm gives.
        y = y * self.attend(F.avg_pool2d(y, y.shape[-2:]))
        x = x + _times(self.beta, self.project, y)
        scaled, kernel, bias = self.norm2.into(self.widen, x)
        left, right = (F.conv2d(scaled, kernel[half], bias[half]) for half in halves)
        return x + _times(self.gamma, self.narrow, left * right)


def _times(factor: Tensor, conv: nn.Conv2d, x: Tensor) -> Tensor:
    """``factor * conv(x)`` for a 1x1 ``conv``; factor [D, 1, 1]."""
    assert conv.bias is not None
    return F.conv2d(x, conv.weight * factor[..., None], conv.bias * factor.flatten())


def naf_blocks(channels: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(NafBlock(channels) for _ in range(count)))


class PixelUp(nn.Module):
    """[N, C, h, w] to [N, D, 2h, 2w] by a 1x1 convolution and pixel shuffle."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 4 * out_channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(self.conv(x), 2)
