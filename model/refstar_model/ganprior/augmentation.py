"""What the critic sees is changed at random, true faces and drawn ones alike, so that it cannot learn the few by heart.

Adaptive discriminator augmentation (arXiv 2006.06676, appendix B): each change comes with one chance p per picture; it
does not leak into what is drawn as long as p stays below some 0.8. Pixels are moved first (mirror, whole pixels), then
those pictures that turn or change size are resampled once, then colors, then a box is cut out. Left out of the paper's
list are stretching in one direction, shifts by parts of a pixel, filters and noise.
"""

from math import pi

import torch
from torch import Tensor
from torch.nn import functional as F

SHIFT = 0.125  # largest, share of the side
SCALE = 0.2  # standard deviation of log2
BRIGHTNESS, CONTRAST, SATURATION = 0.2, 0.5, 1.0  # standard deviations; of log2 for the last two
CUTOUT = 0.5  # side of the box, share of the picture's


def augment(pictures: Tensor, chance: float) -> Tensor:
    """Pictures [N, 3, S, S] in 0..1, changed with a ``chance`` in 0..1; gradients pass. Draws from torch's own dice."""
    if chance <= 0:
        return pictures
    return _cut(_recolor(_resample(_move(pictures, chance), chance), chance), chance)


def _move(x: Tensor, chance: float) -> Tensor:
    """Mirrored, and moved by whole pixels; what comes in at the border is mirrored there."""
    count, most = len(x), round(SHIFT * x.shape[-1])
    mirrored = _happens(count, chance) & (torch.rand(count) < 0.5)
    shifts = torch.randint(-most, most + 1, (count, 2)) * _happens(count, chance)[:, None]
    rows = []
    for row, mirror, (dx, dy) in zip(x.split(1), mirrored.tolist(), shifts.tolist(), strict=True):
        moved = row.flip(-1) if mirror else row
        if dx or dy:
            wide = F.pad(moved, (most, most, most, most), "reflect")
            moved = wide[..., most - dy : most - dy + x.shape[-2], most - dx : most - dx + x.shape[-1]]
        rows.append(moved)
    return torch.cat(rows)


def _resample(x: Tensor, chance: float) -> Tensor:
    """Turned by any angle and resized. Only those that are: to sample anew takes sharpness."""
    count = len(x)
    turned, resized = _happens(count, chance), _happens(count, chance)
    angle = (torch.rand(count) * 2 - 1) * pi * turned
    scale = 2 ** (SCALE * torch.randn(count) * resized)
    chosen = (turned | resized).nonzero()[:, 0]
    if not len(chosen):
        return x
    c, s, zero = angle.cos() / scale, angle.sin() / scale, torch.zeros(count)
    theta = torch.stack([torch.stack([c, s, zero], 1), torch.stack([-s, c, zero], 1)], 1)
    rows = chosen.to(x.device)
    seen = x.index_select(0, rows)
    grid = F.affine_grid(theta[chosen].to(x.device, x.dtype), list(seen.shape), align_corners=False)
    sampled = F.grid_sample(seen, grid, "bilinear", "reflection", align_corners=False)
    return x.index_copy(0, rows, sampled.to(x.dtype))


def _recolor(x: Tensor, chance: float) -> Tensor:
    """Brightness, contrast, saturation and hue, as one matrix on colors in -1..1."""
    count = len(x)

    def drawn(deviation: float) -> Tensor:
        return deviation * torch.randn(count) * _happens(count, chance)

    gray = torch.full((3, 3), 1 / 3)  # projects on what has no color
    cross = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]]) * 3**-0.5
    hue = ((torch.rand(count) * 2 - 1) * pi * _happens(count, chance))[:, None, None]
    # A turn about the gray axis (Rodrigues' formula), with its colored part scaled.
    turn = hue.cos() * (torch.eye(3) - gray) + hue.sin() * cross
    matrix = gray + turn * 2 ** drawn(SATURATION)[:, None, None]
    matrix = matrix * 2 ** drawn(CONTRAST)[:, None, None]
    brightness = drawn(BRIGHTNESS)[:, None, None, None].to(x.device, x.dtype)
    colors = matrix.to(x.device, x.dtype) @ (x * 2 - 1).flatten(2)
    return (colors.unflatten(2, x.shape[2:]) + brightness) / 2 + 0.5


def _cut(x: Tensor, chance: float) -> Tensor:
    """A box of half the side becomes gray, anywhere; a part of it may lie outside."""
    count, side = len(x), x.shape[-1]
    center = torch.rand(count, 2) * side
    away = (torch.arange(side)[None, None] + 0.5 - center[..., None]).abs()  # [N, 2, S]
    inside = (away <= CUTOUT * side / 2) & _happens(count, chance)[:, None, None]
    box = (inside[:, 0, None, :] & inside[:, 1, :, None])[:, None].to(x.device)
    return torch.where(box, x.new_tensor(0.5), x)


def _happens(count: int, chance: float) -> Tensor:
    return torch.rand(count) < chance
