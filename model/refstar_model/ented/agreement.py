"""Which of several references looks like what can be seen of the face.

All are laid onto the face, and textures of one place are mixed. A mean of several photographs is soft, so the one that
agrees best with the degraded face counts most:

    e_r = mean over places and colors of (D_r - mean over 5 x 5 places of D_r)^2,    D_r = reference - degraded face
    share_r = w_r^4 exp(-e_r / 2 t^2), divided by their sum

on the grid of fine textures, of the middle of the face. Without the local mean the light would decide. Nothing is
learned. 12 val cases with a photograph of the person and three more that were made of it (ENTED 0.1.2 at a fidelity of
0.5), PSNR / identity / sharpness:

    t              severe              moderate
    that one alone 24.36 / .756 / .63  28.01 / .887 / .61
    infinite       24.31 / .740 / .53  28.10 / .877 / .54
    .020           24.39 / .764 / .58  28.07 / .886 / .58
    .014           24.34 / .770 / .62  28.03 / .887 / .60
    .007           24.27 / .772 / .65  27.99 / .887 / .61

A share for every place, by the windows around it, was no better (t .01, 9 x 9: severe .792 where the whole face had
.801 and the mean .778; 6 cases).
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from refstar_model.ented.textures import Sizes
from refstar_model.layers.pyramid import resize_grid

_SPREAD = 0.014  # t, of colors in 0..1
_WINDOW = 5  # places


def measure_disagreement(textures: Tensor, low_quality: Tensor, sizes: Sizes) -> Tensor:
    """e_r / 2 t^2 of textures [B, R, k, c] on the face's places and the degraded face [B, 3, S, S] in 0..1; [B, R]."""
    colors = textures.detach()[..., sizes.said :].float().unflatten(3, (3, -1))
    count = colors.shape[4]
    theirs = (colors @ colors.new_full((count, 1), 1 / count)).squeeze(4).transpose(2, 3)  # [B, R, 3, k]
    ours = (resize_grid(low_quality.float(), sizes.places) - 0.5).flatten(2).unsqueeze(1)
    apart = ((theirs - ours) / (_SPREAD * 2**0.5)).unflatten(3, (sizes.places, sizes.places)).flatten(0, 1)
    local = F.avg_pool2d(apart, _WINDOW, 1, _WINDOW // 2, count_include_pad=False)
    squares = (apart - local).square().flatten(1).unflatten(0, textures.shape[:2])
    # A product and not a mean: the order in which onnxruntime adds depends on the batch.
    disagreement: Tensor = (squares @ _weigh_places(sizes.places).to(squares)).squeeze(2)
    return disagreement


def _weigh_places(side: int) -> Tensor:
    """The middle of an aligned face, three quarters of its height and five eighths of its width: weights [3 k, 1] that
    add up to 1."""
    middle = torch.zeros(3, side, side)
    middle[:, side // 8 : side - side // 8, 3 * side // 16 : side - 3 * side // 16] = 1
    return (middle / middle.sum()).reshape(-1, 1)
