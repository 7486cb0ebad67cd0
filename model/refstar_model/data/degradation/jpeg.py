"""What JPEG loses, on batches of tensors: block transform, quantization, and halved color, as libjpeg does it.

Tables and formulas are those of the standard (ITU-T T.81, Annex K.1) and of libjpeg's quality scale. Entropy coding
loses nothing and is left out.
"""

import math
from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

BLOCK = 8
MARGIN = 2 * BLOCK  # a unit of 4:2:0

_LIGHT = """
16 11 10 16  24  40  51  61
12 12 14 19  26  58  60  55
14 13 16 24  40  57  69  56
14 17 22 29  51  87  80  62
18 22 37 56  68 109 103  77
24 35 55 64  81 104 113  92
49 64 78 87 103 121 120 101
72 92 95 98 112 100 103  99
"""
_COLOR = """
17 18 24 47 99 99 99 99
18 21 26 66 99 99 99 99
24 26 56 99 99 99 99 99
47 66 99 99 99 99 99 99
99 99 99 99 99 99 99 99
99 99 99 99 99 99 99 99
99 99 99 99 99 99 99 99
99 99 99 99 99 99 99 99
"""


def quantization_tables(qualities: Sequence[int]) -> NDArray[np.float32]:
    """Steps of luminance and color [N, 2, 8, 8] for qualities of 1..100."""
    quality = np.array(qualities)[:, None, None, None]
    scale = np.where(quality < 50, 5000 // quality, 200 - 2 * quality)
    base = np.array([_LIGHT.split(), _COLOR.split()], int).reshape(2, BLOCK, BLOCK)
    return ((base * scale + 50) // 100).clip(1, 255).astype(np.float32)


def through_jpeg(pictures: Tensor, tables: Tensor, full_chroma: bool) -> Tensor:
    """What comes back of pictures [N, 3, h, w] in 0..255, h and w multiples of 16; ``tables`` [N, 2, 8, 8].

    Rounded where libjpeg rounds. 4:2:0 unless ``full_chroma``. The channels are red, green, blue.
    """
    red, green, blue = pictures.unbind(1)
    y = (0.299 * red + 0.587 * green + 0.114 * blue).round()
    color = torch.stack(
        [
            -0.168735892 * red - 0.331264108 * green + 0.5 * blue,
            0.5 * red - 0.418687589 * green - 0.081312411 * blue,
        ],
        1,
    ).round()
    if not full_chroma:
        color = F.avg_pool2d(color, 2).round()
    y = _quantize(y[:, None] - 128, tables[:, :1])[:, 0] + 128
    color = _quantize(color, tables[:, 1:])
    y, color = y.round().clamp(0, 255), color.round().clamp(-128, 127)
    if not full_chroma:
        color = F.interpolate(color, scale_factor=2.0, mode="bilinear", align_corners=False).round()
    cb, cr = color.unbind(1)
    out = torch.stack([y + 1.402 * cr, y - 0.344136286 * cb - 0.714136286 * cr, y + 1.772 * cb], 1)
    return out.round().clamp(0, 255)


def _quantize(planes: Tensor, table: Tensor) -> Tensor:
    """Planes [N, C, h, w] with the coefficients of their blocks rounded to multiples of a table [N, 1, 8, 8]."""
    n, channels, height, width = planes.shape
    transform = _cosines(planes.device)
    rows = transform @ planes.reshape(n, channels, height // BLOCK, BLOCK, width)
    blocks = rows.reshape(n, channels, height // BLOCK, BLOCK, width // BLOCK, BLOCK) @ transform.T
    step = table[:, :, None, :, None, :]
    blocks = (blocks / step).round() * step
    rows = (blocks @ transform).reshape(n, channels, height // BLOCK, BLOCK, width)
    return (transform.T @ rows).reshape(n, channels, height, width)


@cache
def _cosines(device: torch.device) -> Tensor:
    """The orthonormal DCT-II [8, 8]; rows are frequencies."""
    row = [math.sqrt((1 if k == 0 else 2) / BLOCK) for k in range(BLOCK)]
    values = [
        [row[k] * math.cos((2 * i + 1) * k * math.pi / (2 * BLOCK)) for i in range(BLOCK)]
        for k in range(BLOCK)
    ]
    return torch.tensor(values, device=device)
