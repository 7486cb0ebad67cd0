"""Where the face is in an aligned picture."""

import torch
from torch import Tensor

#: Center and half axes of the face on the 512 template, in picture widths.
FACE_CENTER, FACE_AXES = (0.5, 0.57), (0.30, 0.38)


def face_window(grid: int) -> Tensor:
    """1 inside the template's face ellipse, 0 outside, soft over a tenth of the radius; [grid, grid]."""
    axis = (torch.arange(grid) + 0.5) / grid
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    radius = (((x - FACE_CENTER[0]) / FACE_AXES[0]) ** 2 + ((y - FACE_CENTER[1]) / FACE_AXES[1]) ** 2).sqrt()
    return torch.sigmoid((1 - radius) / 0.05)
