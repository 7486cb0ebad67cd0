"""How much a loss pulls at a picture, measured against another loss and not by a fixed factor."""

from collections.abc import Sequence

import torch
from torch import Tensor


def balance_loss(term: Tensor, against: Tensor, pictures: Sequence[Tensor], share: float) -> Tensor:
    """``term`` times the factor that makes its gradient at the pictures ``share`` as large as that of ``against``.

        term * share * |d against / d pictures| / |d term / d pictures|

    As the adaptive weight of VQGAN (arXiv 2012.09841, equation 7), but at the pictures themselves and not at the last
    layer. A discriminator's gradient grows with what it has learned: after 160 steps it was 200 times that of the pixel
    loss (system 3), and at a fixed weight of .05 the pixel loss rose by a third within 60 steps. All scalars; the
    factor is taken as given by the backward pass.
    """
    pulls = [_measure_pull(loss, pictures) for loss in (term, against)]
    return term * (share * pulls[1] / pulls[0].clamp(min=1e-12)).clamp(max=1e3)


def _measure_pull(loss: Tensor, pictures: Sequence[Tensor]) -> Tensor:
    gradients = torch.autograd.grad(loss, pictures, retain_graph=True, allow_unused=True)
    norms = [gradient.float().norm() for gradient in gradients if gradient is not None]
    return torch.stack(norms).norm() if norms else torch.zeros((), device=loss.device)
