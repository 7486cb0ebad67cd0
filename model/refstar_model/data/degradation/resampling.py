"""Blur and resize along one axis as matrices, one per sample, so that samples of unlike sizes go together.

A small picture lies in the first rows and columns of a canvas. All matrices are [N, rows, columns] and act from the
left on rows, transposed from the right on columns.
"""

import torch
from torch import Tensor

from refstar_model.data.degradation.recipe import Interpolation

CUBIC = -0.75  # OpenCV's and torch's sharpness of the cubic


def blur_matrix(sigma: Tensor, reach: Tensor, side: Tensor, canvas: int) -> Tensor:
    """Gaussians of ``sigma`` [N] cut off at ``reach`` [N], mirrored at both ends of ``side`` [N] pixels (reflect 101).

    sigma 0 is no blur. Rows and columns of the canvas beyond ``side`` mean nothing.
    """
    axis = torch.arange(canvas, device=sigma.device, dtype=sigma.dtype)
    to, source = axis[None, :, None], axis[None, None, :]
    sigma, reach, last = (v[:, None, None] for v in (sigma, reach, side - 1))

    def weight(distance: Tensor) -> Tensor:
        inside = distance.abs() <= reach
        return torch.exp(-0.5 * (distance / sigma.clamp(min=1e-3)) ** 2) * inside

    below = weight(to + source) * (source > 0)
    above = weight(to - (2 * last - source)) * (source < last)
    weights = (weight(to - source) + below + above) * (source <= last)
    return weights / weights.sum(2, keepdim=True).clamp(min=1e-6)


def resize_matrix(kinds: Tensor, source: Tensor, target: Tensor, rows: int, columns: int) -> Tensor:
    """From ``source`` [N] to ``target`` [N] pixels as cv2.resize does; ``kinds`` [N] are ``Interpolation`` numbers.

    Rows beyond ``target`` repeat the last one.
    """
    place = torch.arange(rows, device=source.device).minimum(target[:, None] - 1)  # [N, rows]
    scale = source.double() / target
    center = (place + 0.5) * scale[:, None] - 0.5
    nearest = (place * source[:, None]) // target[:, None]
    center = torch.where((kinds == Interpolation.NEAREST)[:, None], nearest.double(), center)
    base = center.floor()
    part = (center - base).float()
    linear = torch.stack([torch.zeros_like(part), 1 - part, part, torch.zeros_like(part)], 2)
    cubic = torch.stack([_cubic(part + 1), _cubic(part), _cubic(1 - part), _cubic(2 - part)], 2)
    taps = torch.where((kinds == Interpolation.CUBIC)[:, None, None], cubic, linear)
    index = base.long()[:, :, None] + torch.arange(-1, 3, device=source.device)
    index = index.clamp(min=0).minimum(source[:, None, None] - 1)
    matrix = torch.zeros(len(source), rows, columns, device=source.device).scatter_add_(2, index, taps)

    scale = scale.float()
    first = place * scale[:, None]
    column = torch.arange(columns, device=source.device)
    overlap = (first + scale[:, None])[:, :, None].minimum(column + 1) - first[:, :, None].maximum(column)
    area = overlap.clamp(min=0) / scale[:, None, None]
    return torch.where((kinds == Interpolation.AREA)[:, None, None], area, matrix)


def apply_matrices(pictures: Tensor, down: Tensor, across: Tensor) -> Tensor:
    """Pictures [N, C, h, w] with a matrix along each axis, [N, h', h] and [N, w', w]; [N, C, h', w']."""
    return down[:, None] @ pictures @ across[:, None].transpose(-1, -2)


def repeat_border(pictures: Tensor, side: Tensor, canvas: int, above: Tensor, left: Tensor) -> Tensor:
    """The first ``side`` [N] rows and columns moved down and right, on a canvas filled with their border."""
    axis = torch.arange(canvas, device=pictures.device)
    n, channels, _, width = pictures.shape

    def index(offset: Tensor) -> Tensor:
        return (axis - offset[:, None]).clamp(min=0).minimum(side[:, None] - 1)

    tall = pictures.gather(2, index(above)[:, None, :, None].expand(n, channels, canvas, width))
    return tall.gather(3, index(left)[:, None, None, :].expand(n, channels, canvas, canvas))


def _cubic(distance: Tensor) -> Tensor:
    """The cubic kernel at distances of 0..2."""
    near = ((CUBIC + 2) * distance - (CUBIC + 3)) * distance**2 + 1
    far = ((CUBIC * distance - 5 * CUBIC) * distance + 8 * CUBIC) * distance - 4 * CUBIC
    return torch.where(distance <= 1, near, far)
