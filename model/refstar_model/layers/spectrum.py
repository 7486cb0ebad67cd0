"""Which stripes pictures hold, and how far one kind of them stands out from those next to it.

Photographs hold stripes of all widths and directions, and about as much of each as of its neighbors: what is printed
into a picture, at one width and in one direction, is a peak in the spectrum, however faint it is.
"""

from functools import lru_cache

import torch
from torch import Tensor

from refstar_model.layers.separable import window_mean

SIDE = 64  # pixels of a block; frequencies are in cycles a block
STEP = 32  # pixels from block to block
_BLUR = 15  # pixels; what is coarser is subtracted, twice
_LEAST = (0.5 / 255) ** 2  # power that the eye does not see, nor the prominence
_COARSEST = 6.0  # cycles a block: below, a face is no texture
_NEIGHBORS = (
    4,
    5,
)  # cycles a block from a peak: the window spreads it over 2, and printed stripes are not straight


def measure_power(pictures: Tensor) -> Tensor:
    """Power spectrum of each picture, [B, 64, 64]; pictures [B, 3, h, w] in 0..1, h and w at least 64.

        P(k) = mean over blocks |FFT(w * (x - blur(x)))(k)|^2 / sum w^2,    w = Hann

    of gray: white noise of standard deviation s has s^2 at all frequencies, a sine of amplitude a that fills all blocks
    21 a at its own.
    """
    gray = pictures.float().mean(1, keepdim=True)
    rows, columns = (_blurring(side, pictures.device) for side in gray.shape[-2:])
    with torch.autocast(pictures.device.type, enabled=False):  # it would round what is subtracted
        fine = gray - rows @ gray @ columns.T
    blocks = fine.unfold(2, SIDE, STEP).unfold(3, SIDE, STEP)
    window = torch.hann_window(SIDE, device=pictures.device)
    window = window[:, None] * window
    spectrum = torch.fft.fft2(blocks * window)
    power = spectrum.real.square() + spectrum.imag.square()
    return power.mean((1, 2, 3)) / window.square().sum()


@lru_cache(maxsize=8)
def _blurring(side: int, device: torch.device) -> Tensor:
    """[side, side]: a mean over 15 places, twice. As a product of matrices it takes a third of what pools of such size
    take, in a training step."""
    return torch.from_numpy(window_mean(side, _BLUR) @ window_mean(side, _BLUR)).float().to(device)


def find_prominence(power: Tensor) -> Tensor:
    """How far each frequency of spectra [..., 64, 64] stands out, in natural logarithms of power; 0 below 6 cycles.

        log P(k) - max over directions d of the mean of log P(k + n d),    n = -5, -4, 4, 5

    The directions are along rows, along columns and the two diagonals. The largest of the four means is taken since
    edges make ridges in the spectrum, lines through its middle; these stand out from all but their own direction.
    """
    logs = (power + _LEAST).log()
    around = [
        torch.stack(
            [logs.roll((n * y, n * x), (-2, -1)) for distance in _NEIGHBORS for n in (-distance, distance)]
        ).mean(0)
        for y, x in ((0, 1), (1, 0), (1, 1), (1, -1))
    ]
    cycles = torch.fft.fftfreq(SIDE, 1 / SIDE, device=power.device)
    fine = torch.hypot(cycles[:, None], cycles[None]) >= _COARSEST
    return torch.where(fine, logs - torch.stack(around).amax(0), 0.0)
