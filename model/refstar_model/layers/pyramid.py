"""Laplacian pyramids of pictures: which detail lives at which scale.

Down is the mean of 2x2, up is bilinear. With that pair, level 2 of a 512 picture is level 1 of its 256 picture, so
a net that works at 512 can be trained on pictures that are sharp only at 256 by leaving out the finest band.
"""

from torch import Tensor
from torch.nn import functional as F


def down(x: Tensor) -> Tensor:
    """[N, C, h, w] to [N, C, h/2, w/2], mean of 2x2."""
    return F.avg_pool2d(x, 2)


def up(x: Tensor) -> Tensor:
    """[N, C, h, w] to [N, C, 2h, 2w], bilinear."""
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


def halve_to(x: Tensor, side: int) -> Tensor:
    """[N, C, h, h] brought ``down`` to a side of at most ``side``."""
    while x.shape[-1] > side:
        x = down(x)
    return x


def double_to(x: Tensor, side: int) -> Tensor:
    """[N, C, h, h] brought ``up`` to a side of at least ``side``."""
    while x.shape[-1] < side:
        x = up(x)
    return x


def laplacian(x: Tensor, bands: int) -> list[Tensor]:
    """The ``bands`` Laplacian bands of [N, C, h, w], finest first; the low-pass is left out.

    Band b (from 0) has size h / 2^b. h and w must be multiples of 2^bands.
    """
    out = []
    for _ in range(bands):
        smaller = down(x)
        out.append(x - up(smaller))
        x = smaller
    return out


def collapse(bands: list[Tensor]) -> Tensor:
    """The picture whose Laplacian bands these are (finest first) and whose low-pass is zero."""
    total = bands[-1]
    for band in reversed(bands[:-1]):
        total = up(total) + band
    return total


def resize_grid(mask: Tensor, size: int) -> Tensor:
    """A mask [N, C, g, g] brought to ``size``: bilinear when larger, block mean when smaller."""
    grid = mask.shape[-1]
    if size == grid:
        return mask
    if size < grid:
        return F.avg_pool2d(mask, grid // size)
    return F.interpolate(mask, scale_factor=float(size // grid), mode="bilinear", align_corners=False)
