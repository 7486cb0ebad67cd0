"""What a learned selection has to beat: two ways to use a reference that need no learning at all."""

from itertools import pairwise

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from refstar_model.layers.face_window import face_window
from refstar_model.layers.pyramid import collapse, laplacian, resize_grid

Pixels = NDArray[np.uint8]
BANDS = 6  # down to a low-pass of 8x8, as in the network
GAINS = (0.2, 0.4, 0.6, 0.8, 1.0)  # the steps of the curves


def band_transfer(low_quality: Pixels, reference: Pixels, sigma: float = 18.0, gain: float = 0.7) -> Pixels:
    """The control without weights: input + gain * (reference - blurred reference) in a soft face window."""
    detail = reference.astype(np.float32) - cv2.GaussianBlur(reference, (0, 0), sigma).astype(np.float32)
    window = face_window(512).numpy()[..., None]
    return np.clip(np.rint(low_quality + gain * window * detail), 0, 255).astype(np.uint8)


def fixed_mask(self_stream: Pixels, reference: Pixels, gain: float = 0.6) -> Pixels:
    """The network's own blend with the face window times ``gain`` in the place of what it learned to select.

    ``self_stream`` is the picture restored without a reference.
    """
    missing = _tensor(reference) - _tensor(self_stream)
    window = face_window(64)[None, None] * gain
    taken = collapse([band * resize_grid(window, band.shape[-1]) for band in laplacian(missing, BANDS)])
    blended = (_tensor(self_stream) + taken).clamp(0, 255).round()
    return blended[0].permute(1, 2, 0).to(torch.uint8).numpy()


def identity_at(psnr: float, curve: list[tuple[float, float]]) -> float:
    """The best identity of a control at ``psnr`` or better; of its best PSNR where it does not reach that far.

    ``curve`` lists (PSNR, identity) by growing gain; between two points it is taken as a straight line.
    """
    reached = [identity for value, identity in curve if value >= psnr]
    for (p, i), (q, j) in pairwise(curve):
        if min(p, q) < psnr < max(p, q):
            reached.append(i + (j - i) * (psnr - p) / (q - p))
    return max(reached) if reached else max(curve)[1]


def _tensor(pixels: Pixels) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None].float()
