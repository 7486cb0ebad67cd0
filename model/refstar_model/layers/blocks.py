"""Convolution blocks shared by the networks. They know nothing of references or masks."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from refstar_model.layers.folding import Weights, fix

EPSILON = 1e-6  # added to variances
_HALF_ROUNDING = 2.0**-11  # of a number in fp16, as a share of it, at most


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
            normed = F.layer_norm(
                places, places.shape[-1:], self.weight.flatten(), self.bias.flatten(), EPSILON
            )
            return normed.permute(0, 3, 1, 2)
        centered = x - average_channels(x)
        variance = average_channels(centered * centered)
        return centered * torch.rsqrt(variance + EPSILON) * self.weight + self.bias

    def fold_into(self, conv: nn.Conv2d) -> tuple[Tensor, Tensor]:
        """Kernel and bias with which ``conv(self(x))`` is ``F.conv2d(scale_places(x), kernel, bias)``; ``conv`` is 1x1.

        Centering, weight and bias of the norm are linear and go into the kernel; what is left of it is one factor per
        place, 1 / sd. For evaluation: x is passed over three times fewer. A kernel that was centered once and then
        rounded to fp16 stays as it is: what is exported again has the same weights, bit by bit.
        """
        kernel, channels = conv.weight.flatten(1), conv.in_channels
        weighed = kernel * self.weight.flatten()
        # A product and not a mean, for the reason that average_channels gives.
        centering = torch.full((channels, 1), 1 / channels, dtype=kernel.dtype, device=kernel.device)
        mean = weighed @ centering
        rounding = weighed.abs().amax(1, keepdim=True) * (_HALF_ROUNDING / channels**0.5)
        mean = torch.where(mean.abs() > rounding, mean, torch.zeros_like(mean))
        bias = kernel @ self.bias.flatten()
        if conv.bias is not None:
            bias = bias + conv.bias
        return (weighed - mean)[:, :, None, None], bias


def scale_places(x: Tensor) -> Tensor:
    """x by 1 / sd of each place's channels; [N, C, h, w]."""
    mean = average_channels(x)
    variance = (average_channels(x * x) - mean * mean).clamp(min=0)
    return x * torch.rsqrt(variance + EPSILON)


def average_channels(x: Tensor) -> Tensor:
    """Mean over the channels, [N, C, h, w] to [N, 1, h, w].

    A 1x1 convolution: onnxruntime's ReduceMean splits its sum by how much work there is, so a face came out one level
    different, in single pixels, when others shared its batch.
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
            return self.fold_weights().run(x)
        left, right = self.depthwise(self.expand(self.norm1(x))).chunk(2, 1)
        y = left * right
        y = y * self.attend(F.avg_pool2d(y, y.shape[-2:]))
        # The factors go into the kernels, so that x stays in autocast's precision: a parameter times x is fp32.
        x = x + F.conv2d(y, *_weigh(self.beta, self.project))
        left, right = self.widen(self.norm2(x)).chunk(2, 1)
        return x + F.conv2d(left * right, *_weigh(self.gamma, self.narrow))

    def fold(self) -> "FoldedNafBlock":
        return FoldedNafBlock(self)

    def unfold(self, folded: Weights) -> dict[str, Tensor]:
        """With norms and factors of 1."""
        both = {
            f"{name}.{kind}": torch.cat([folded[f"{name}_left{of}"], folded[f"{name}_right{of}"]])
            for name in ("expand", "depthwise", "widen")
            for kind, of in (("weight", ""), ("bias", "_bias"))
        }
        whole = {
            f"{name}.{kind}": folded[f"{name}{of}"]
            for name in ("attend", "project", "narrow")
            for kind, of in (("weight", ""), ("bias", "_bias"))
        }
        ones = torch.ones_like(self.beta)
        neutral = dict.fromkeys(("beta", "gamma", "norm1.weight", "norm2.weight"), ones)
        return {**both, **whole, **neutral, **dict.fromkeys(("norm1.bias", "norm2.bias"), ones - 1)}

    def fold_weights(self) -> "FoldedWeights":
        """The weights of the same function in evaluation, with all constants in the kernels."""
        channels = self.attend.in_channels
        expand, expand_bias = self.norm1.fold_into(self.expand)
        widen, widen_bias = self.norm2.fold_into(self.widen)
        left, right = slice(0, channels), slice(channels, 2 * channels)
        deep, attend = self.depthwise, self.attend
        assert deep.bias is not None
        assert attend.bias is not None
        project, project_bias = _weigh(self.beta, self.project)
        narrow, narrow_bias = _weigh(self.gamma, self.narrow)
        return FoldedWeights(
            expand_left=expand[left],
            expand_left_bias=expand_bias[left],
            expand_right=expand[right],
            expand_right_bias=expand_bias[right],
            depthwise_left=deep.weight[left],
            depthwise_left_bias=deep.bias[left],
            depthwise_right=deep.weight[right],
            depthwise_right_bias=deep.bias[right],
            attend=attend.weight,
            attend_bias=attend.bias,
            project=project,
            project_bias=project_bias,
            widen_left=widen[left],
            widen_left_bias=widen_bias[left],
            widen_right=widen[right],
            widen_right_bias=widen_bias[right],
            narrow=narrow,
            narrow_bias=narrow_bias,
        )


class FoldedWeights(NamedTuple):
    """Of a block of C channels, kernels [D, C, k, k] and biases [D]; the halves of each gate apart."""

    expand_left: Tensor
    expand_left_bias: Tensor
    expand_right: Tensor
    expand_right_bias: Tensor
    depthwise_left: Tensor
    depthwise_left_bias: Tensor
    depthwise_right: Tensor
    depthwise_right_bias: Tensor
    attend: Tensor
    attend_bias: Tensor
    project: Tensor
    project_bias: Tensor
    widen_left: Tensor
    widen_left_bias: Tensor
    widen_right: Tensor
    widen_right_bias: Tensor
    narrow: Tensor
    narrow_bias: Tensor

    def run(self, x: Tensor) -> Tensor:
        """The block in evaluation, the gates' halves as convolutions of their own.

        Between convolutions onnxruntime keeps channels in blocks; what is not a convolution, a product or a sum of
        two such tensors costs two copies. That, and passes over x, took a third of the time.
        """
        channels = x.shape[1]
        scaled = scale_places(x)
        left = F.conv2d(scaled, self.expand_left, self.expand_left_bias)
        right = F.conv2d(scaled, self.expand_right, self.expand_right_bias)
        left = F.conv2d(left, self.depthwise_left, self.depthwise_left_bias, padding=1, groups=channels)
        right = F.conv2d(right, self.depthwise_right, self.depthwise_right_bias, padding=1, groups=channels)
        y = left * right
        # A pool and not a mean over (2, 3), for the reason that average_channels gives.
        y = y * F.conv2d(F.avg_pool2d(y, y.shape[-2:]), self.attend, self.attend_bias)
        x = x + F.conv2d(y, self.project, self.project_bias)
        scaled = scale_places(x)
        left = F.conv2d(scaled, self.widen_left, self.widen_left_bias)
        right = F.conv2d(scaled, self.widen_right, self.widen_right_bias)
        return x + F.conv2d(left * right, self.narrow, self.narrow_bias)


class FoldedNafBlock(nn.Module):
    """A block that holds its folded weights, for an export: a third of the operations are left in the graph."""

    def __init__(self, block: NafBlock) -> None:
        super().__init__()
        for name, value in block.fold_weights()._asdict().items():
            self.register_parameter(name, fix(value))

    def forward(self, x: Tensor) -> Tensor:
        return FoldedWeights(*(getattr(self, name) for name in FoldedWeights._fields)).run(x)


def _weigh(factor: Tensor, conv: nn.Conv2d) -> tuple[Tensor, Tensor]:
    """Kernel and bias of ``factor * conv(x)`` for a 1x1 ``conv``; factor [D, 1, 1]."""
    assert conv.bias is not None
    return conv.weight * factor[..., None], conv.bias * factor.flatten()


def naf_blocks(channels: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(NafBlock(channels) for _ in range(count)))


class PixelUp(nn.Module):
    """[N, C, h, w] to [N, D, 2h, 2w] by a 1x1 convolution and pixel shuffle."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 4 * out_channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(self.conv(x), 2)
