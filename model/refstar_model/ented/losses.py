"""What ENTED is trained on. Pictures are [B, 3, h, w] in 0..1; every term is a mean over the batch.

    total = restoration (losses.restoration) + code + attention + alignment

Code: `Dictionary.code_loss`; attention: `attention_loss`; alignment: `layers.alignment.alignment_loss`.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from refstar_model.ented.dictionary import Dictionary
from refstar_model.ented.textures import Distributed
from refstar_model.layers.pyramid import resize_grid
from refstar_model.losses.pixels import coarse_loss
from refstar_model.losses.restoration import RestorationWeights


@dataclass(frozen=True)
class LossWeights(RestorationWeights):
    code: float = 0.1
    attention: float = 0.3
    alignment: float = 0.3  # of corresponding points


def code_term(codes: Tensor, wanted: Tensor, dictionary: Dictionary, weights: LossWeights) -> Tensor:
    """``wanted``: the good photograph's words [B, g, g], as indices."""
    return weights.code * dictionary.code_loss(codes, wanted)


def attention_loss(distributed: Iterable[Distributed], truth: Tensor, helped: Tensor) -> Tensor:
    """Whether textures are taken from and brought to like places (the attention reconstruction loss of NTED).

    On every grid, the L1 between the colors that each place takes and those of the truth there. Of faces that have a
    right reference (``helped`` [B]) only. The texture of nothing is left out: else all places would take it.
    """
    losses = []
    for one in distributed:
        places = one.share.shape[-1]
        colors = resize_grid(one.colors.float(), places) / one.share.clamp(min=1e-3)
        away = coarse_loss(colors + 0.5, truth, places)
        losses.append((away * helped).sum() / helped.sum().clamp(min=1))
    return torch.stack(losses).mean()
