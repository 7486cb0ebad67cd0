"""Luminance and colors of pictures (ITU-R BT.601, as in JPEG), as plain sums: autocast rounds products of matrices."""

import torch
from torch import Tensor

RED, GREEN, BLUE = 0.299, 0.587, 0.114


def luminance(picture: Tensor) -> Tensor:
    """[N, 3, H, W] to [N, 1, H, W]."""
    red, green, blue = picture.split(1, 1)
    return RED * red + GREEN * green + BLUE * blue


def without_color(pictures: Tensor, colorless: Tensor) -> Tensor:
    """Pictures [N, 3, H, W] with luminance in all channels where ``colorless`` [N]: a loss sees no color there."""
    # On a GPU to ask would mean to wait for it.
    if colorless.device.type == "cpu" and not bool(colorless.any()):
        return pictures
    gray = luminance(pictures).expand_as(pictures)
    return torch.where(colorless[:, None, None, None], gray, pictures)


def split_color(picture: Tensor) -> tuple[Tensor, Tensor]:
    """[N, 3, H, W] to luminance Y [N, 1, H, W] and colors [N, 2, H, W], R - Y and B - Y."""
    y = luminance(picture)
    return y, picture[:, ::2] - y


def join_color(y: Tensor, color: Tensor) -> Tensor:
    """The inverse of ``split_color``."""
    red, blue = (color + y).split(1, 1)
    return torch.cat([red, (y - RED * red - BLUE * blue) / GREEN, blue], 1)
