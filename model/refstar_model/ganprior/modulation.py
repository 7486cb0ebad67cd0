"""Convolutions whose weights a code scales, as in StyleGAN2 (arXiv 1912.04958, section 2.2), in the form that exports.

    y = d * conv(s * x, W) + b,      s = affine(w),      d_o = 1 / sqrt(sum_i s_i^2 sum_k W_oik^2)

This equals a convolution with weights of its own for each picture; those would need groups = batch, which does not
export. Learning rates are equalized (arXiv 1710.10196, section 4.1): weights are stored at unit variance and scaled
when they are used. One rate of one optimizer then suits the generator and the codec: a trained prior moves slowly, and
a new codec, whose weights are small numbers, learns fast. What joins them is equalized too; as plain layers that start
at zero, codes and bending outran the prior within 50 steps (the sketch's loss went from 0.08 to 1.4). In exported
graphs the scale is a constant that is multiplied into the weights when they are loaded.
"""

from math import sqrt

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from refstar_model.layers.folding import FoldedConv, Weights, fix
from refstar_model.layers.leaky import activate


class EqualizedConv(nn.Module):
    """A convolution with equalized learning rate; [N, C, h, w] to [N, D, h, w].

    ``rate`` scales the learning rate further, ``bias`` is where the bias starts, None: there is none; with ``zero``
    the weights start at 0.
    """

    def __init__(
        self,
        channels: int,
        out_channels: int,
        size: int = 1,
        rate: float = 1.0,
        bias: float | None = 0.0,
        zero: bool = False,
    ) -> None:
        super().__init__()
        self.scale, self.rate = rate / sqrt(channels * size**2), rate
        weight = torch.randn(out_channels, channels, size, size) / rate
        self.weight = nn.Parameter(torch.zeros_like(weight) if zero else weight)
        self.bias = None if bias is None else nn.Parameter(torch.full((out_channels,), bias / rate))

    def forward(self, x: Tensor) -> Tensor:
        pad = self.weight.shape[-1] // 2
        bias = None if self.bias is None else self.bias * self.rate
        return F.conv2d(x, self.weight * self.scale, bias, padding=pad)

    def fold(self) -> FoldedConv:
        bias = None if self.bias is None else self.bias * self.rate
        return FoldedConv(self.weight * self.scale, bias, padding=self.weight.shape[-1] // 2)

    def unfold(self, folded: Weights) -> dict[str, Tensor]:
        factors = {"weight": self.scale, "bias": self.rate}
        return {name: value / factors[name] for name, value in folded.items()}


class StyledConv(nn.Module):
    """A modulated 3x3 convolution with noise, bias and leaky ReLU; ``enlarge`` doubles the grid, bilinearly.

    ``rate`` scales the learning rate of its weights further. What enlarges computes on the smaller grid: a quarter of
    the multiplications, as StyleGAN2's transposed convolution with its blur.
    """

    def __init__(
        self, channels: int, out_channels: int, style: int, enlarge: bool = False, rate: float = 1.0
    ) -> None:
        super().__init__()
        self.enlarge = enlarge
        self.affine = EqualizedConv(style, channels, bias=1.0)
        self.scale = rate / sqrt(9 * channels)
        self.weight = nn.Parameter(torch.randn(out_channels, channels, 3, 3) / rate)
        self.bias = nn.Parameter(torch.zeros(out_channels, 1, 1))
        self.noise_strength = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor, code: Tensor, noisy: bool = False) -> Tensor:
        """x [B or 1, C, h, w], code [B, style, 1, 1]; returns [B, D, h, w], or twice as large."""
        weight = self.weight * self.scale
        y = modulate(x, self.affine(code), weight, sum_squares(weight), self.bias, self.enlarge)
        if noisy:
            noise = torch.randn(y.shape[0], 1, *y.shape[2:], dtype=y.dtype, device=y.device)
            y = y + self.noise_strength * noise
        return activate(y)

    def fold(self) -> "FoldedStyledConv":
        return FoldedStyledConv(self)

    def unfold(self, folded: Weights) -> dict[str, Tensor]:
        affine = {k.removeprefix("affine."): value for k, value in folded.items() if k.startswith("affine.")}
        own = {"weight": folded["weight"] / self.scale, "bias": folded["bias"]}
        return own | {f"affine.{k}": value for k, value in self.affine.unfold(affine).items()}


class FoldedStyledConv(nn.Module):
    """One without noise, whose constants were computed, for an export."""

    def __init__(self, conv: StyledConv) -> None:
        super().__init__()
        self.enlarge, self.affine = conv.enlarge, conv.affine.fold()
        self.weight, self.bias = fix(conv.weight * conv.scale), fix(conv.bias)

    def forward(self, x: Tensor, code: Tensor, noisy: bool = False) -> Tensor:
        squares = sum_squares(self.weight)
        return activate(modulate(x, self.affine(code), self.weight, squares, self.bias, self.enlarge))


def sum_squares(weight: Tensor) -> Tensor:
    """Over the nine taps of kernels [D, C, 3, 3]; a kernel [D, C, 1, 1]."""
    # Sums over channels are convolutions: the order in which others add may depend on the batch.
    return ((weight * weight).flatten(2) @ weight.new_ones(9, 1))[..., None]


def modulate(
    x: Tensor, style: Tensor, weight: Tensor, squares: Tensor, bias: Tensor, enlarge: bool
) -> Tensor:
    """x [B or 1, C, h, w] and style [B, C, 1, 1] to [B, D, h, w], or twice as large; before noise and leaky ReLU."""
    energy = F.conv2d(style * style, squares)
    # Half of the energy: the factor of sqrt 2 makes up for leaky ReLU.
    demodulation = torch.rsqrt(0.5 * energy + 1e-8)
    y = F.conv2d(x * style, weight, padding=1)
    # In autocast's precision: a parameter added as it is makes fp32 of the finest features.
    y = y * demodulation + bias.to(y.dtype)
    return F.interpolate(y, scale_factor=2.0, mode="bilinear", align_corners=False) if enlarge else y


class ToPicture(nn.Module):
    """A modulated 1x1 convolution to colors, without demodulation; [B, C, h, w] to [B, D, h, w].

    With 12 outputs the four phases of a pixel shuffle start equal (ICNR, arXiv 1707.02937): an unequal start prints a
    lattice.
    """

    def __init__(self, channels: int, out_channels: int, style: int) -> None:
        super().__init__()
        self.affine = EqualizedConv(style, channels, bias=1.0)
        self.scale = 1 / sqrt(channels)
        self.weight = nn.Parameter(torch.randn(3, channels).repeat_interleave(out_channels // 3, 0))
        self.bias = nn.Parameter(torch.zeros(out_channels, 1))

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        kernel = self.weight * self.scale * self.affine(code).flatten(1).unsqueeze(1)
        # A product of matrices: few outputs, and no scaled copy of x.
        return (kernel.to(x.dtype) @ x.flatten(2) + self.bias.to(x.dtype)).unflatten(2, x.shape[2:])
