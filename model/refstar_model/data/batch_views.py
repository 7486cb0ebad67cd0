"""Views, light and tones of whole batches in torch, as ``pseudo.py`` and ``tone.py`` give them to single pictures.

The numbers are drawn there; here they are stacked once and carried out on the device, without waiting for it.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from refstar_model.data.degradation.tone import Tone
from refstar_model.data.pseudo import Light, Move
from refstar_model.data.turning import Field
from refstar_model.data.upload import upload
from refstar_model.judges.landmarks import SIDE
from refstar_model.layers.color import luminance


def warp(pictures: Tensor, moves: Sequence[Move]) -> Tensor:
    """Pictures [B, C, T, T], each moved by its own ``Move``; bilinear, mirrored at the border (reflect 101)."""
    side = pictures.shape[-1]
    affine = _stack([move.affine(side) for move in moves], pictures)  # [B, 2, 3]
    bend = _stack([move.bend for move in moves], pictures).permute(0, 3, 1, 2) * (side / 256)
    flow = F.interpolate(bend, (side, side), mode="bicubic", align_corners=False)
    axis = torch.arange(side, device=pictures.device, dtype=pictures.dtype)
    x, y = axis[None, None, :], axis[None, :, None]
    across, down = (
        affine[:, k, 0, None, None] * x
        + affine[:, k, 1, None, None] * y
        + affine[:, k, 2, None, None]
        + flow[:, k]
        for k in (0, 1)
    )
    mirrored = _stack([[[float(move.mirrored)]] for move in moves], pictures)
    across = torch.lerp(across, side - 1 - across, mirrored)
    grid = torch.stack([across, down], -1) * (2 / (side - 1)) - 1
    return F.grid_sample(pictures, grid, "bilinear", "reflection", align_corners=True)


def turn(pictures: Tensor, fields: Sequence[Field]) -> Tensor:
    """Pictures [B, C, T, T] in 0..1, each turned by its own `turn_field`; bicubic, mirrored at the border."""
    side = pictures.shape[-1]
    offset = _stack(fields, pictures).permute(0, 3, 1, 2) * (side / SIDE)
    offset = F.interpolate(offset, (side, side), mode="bicubic", align_corners=False)
    axis = torch.arange(side, device=pictures.device, dtype=pictures.dtype)
    places = torch.stack([offset[:, 0] + axis, offset[:, 1] + axis[:, None]], -1)
    grid = places * (2 / (side - 1)) - 1
    return F.grid_sample(pictures, grid, "bicubic", "reflection", align_corners=True).clamp(0, 1)


def relight(pictures: Tensor, lights: Sequence[Light]) -> Tensor:
    """Pictures [B, 3, T, T] in 0..1, each in its own light."""
    gain = _stack([light.gain for light in lights], pictures)[:, :, None, None]
    gamma, offset = (
        _stack([getattr(light, name) for light in lights], pictures)[:, None, None, None]
        for name in ("gamma", "offset")
    )
    return (pictures.clamp(0, 1) ** gamma * gain + offset).clamp(0, 1)


def apply_tones(pictures: Tensor, tones: Sequence[Tone]) -> Tensor:
    """Pictures [B, 3, T, T] in 0..1, each in its own tone."""
    saturation = _stack([tone.saturation for tone in tones], pictures)[:, None, None, None]
    black, white, curve = (
        _stack(rows, pictures)[:, :, None, None]
        for rows in zip(*((t.black, t.white, t.curve) for t in tones), strict=True)
    )
    mixed = torch.lerp(luminance(pictures).expand_as(pictures), pictures, saturation).clamp(0, 1)
    return black + (white - black) * mixed**curve


def _stack(rows: Sequence[object], like: Tensor) -> Tensor:
    """Numbers of a batch as one tensor, beside ``like``."""
    return upload(np.array(rows, np.float32), like.device).to(like.dtype)
