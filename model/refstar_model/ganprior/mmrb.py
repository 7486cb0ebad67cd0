"""MMRB, the mixed multi-path residual block (Hu et al., arXiv 2205.14377, name and purpose; the paths are ours).

    stage(x) = cat of four paths over a quarter of the channels each:
               1x1 | 3x3 | 3x3, 3x3 | 3x3 of dilation 2            (each convolution with leaky ReLU)
    block(x) = (x + a * fuse(stage(stage(x)))) / sqrt 2,           a = 2 hard sigmoid(channel attention)

A stage opens with a 1x1 convolution over all channels: the second one mixes what the four paths of the first have seen
(as the cross paths of MSRN do, ECCV 2018). The paths are narrow and dense. At 64 channels one block costs what a NAF
block does; narrow dense convolutions run at the machine's speed in onnxruntime and in training, where depthwise ones
with dilation take twenty times as long per multiplication.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from refstar_model.layers.leaky import activate, start

_SHARE = 0.5**0.5


class MixedPaths(nn.Module):
    """One stage; [N, C, h, w] in and out."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        path = channels // 4
        self.enter = start(nn.Conv2d(channels, channels, 1))
        self.near = start(nn.Conv2d(path, path, 3, padding=1))
        self.far = nn.ModuleList(start(nn.Conv2d(path, path, 3, padding=1)) for _ in range(2))
        self.wide = start(nn.Conv2d(path, path, 3, padding=2, dilation=2))

    def forward(self, x: Tensor) -> Tensor:
        point, near, far, wide = self._enter_paths(x)
        near, wide = activate(self.near(near)), activate(self.wide(wide))
        for conv in self.far:
            far = activate(conv(far))
        return torch.cat([point, near, far, wide], 1)

    def _enter_paths(self, x: Tensor) -> list[Tensor]:
        """The four paths' inputs. In evaluation each is a convolution of its own: no copies in onnxruntime."""
        if self.training:
            return list(activate(self.enter(x)).chunk(4, 1))
        assert self.enter.bias is not None
        kernels, biases = self.enter.weight.chunk(4), self.enter.bias.chunk(4)
        return [activate(F.conv2d(x, kernel, bias)) for kernel, bias in zip(kernels, biases, strict=True)]


class Mmrb(nn.Module):
    """The block; [N, C, h, w] in and out, C a multiple of 4. It can stand wherever a NAF block stands."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = MixedPaths(channels)
        self.second = MixedPaths(channels)
        self.fuse = start(nn.Conv2d(channels, channels, 1))
        self.squeeze = start(nn.Conv2d(channels, channels // 4, 1))
        self.excite = start(nn.Conv2d(channels // 4, channels, 1), 0.1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.fuse(self.second(self.first(x)))
        # A pool and not a mean over (2, 3), for the reason that layers.blocks.average_channels gives.
        seen = activate(self.squeeze(F.avg_pool2d(y, y.shape[-2:])))
        # Hard, as in MobileNetV3 (arXiv 1905.02244): fp16 graphs compute sigmoids, and what they multiply, in fp32.
        return x * _SHARE + y * (F.hardsigmoid(self.excite(seen)) * (2 * _SHARE))


def mmrb_blocks(channels: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(Mmrb(channels) for _ in range(count)))
