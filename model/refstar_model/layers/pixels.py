"""The uint8 pictures at the edges of exported graphs."""

import torch
from torch import Tensor


def to_picture(pixels: Tensor) -> Tensor:
    """Pixels uint8 [B, H, W, 3] as a picture [B, 3, H, W] in 0..1."""
    return pixels.permute(0, 3, 1, 2).float() / 255


def to_pixels(exact: Tensor) -> tuple[Tensor, Tensor]:
    """A picture [B, 3, H, W] as uint8 [B, H, W, 3], and whether there is one: bool [B]."""
    # NaN compares false, so this is false for NaN and for infinities alike.
    finite = (exact.abs() < 100).float().amin((1, 2, 3)) > 0.5
    return (exact.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1), finite
