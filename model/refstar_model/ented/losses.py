"""What ENTED is trained on. Pictures are [B, 3, h, w] in 0..1; every term is a mean over the batch.

    total = pixels + coarse + code + attention + alignment + pattern + hatching + perceptual + style + identity
            + share (sharpness + adversarial)

``share`` fades in what sharpens. Pixels: Charbonnier and gradients (losses.pixels); code: `Dictionary.code_loss`;
attention: `attention_loss`; alignment: `layers.alignment.alignment_loss`.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from refstar_model.ented.dictionary import Dictionary
from refstar_model.ented.textures import Distributed, add_shares
from refstar_model.judges.recognition import Recognizer
from refstar_model.layers.pyramid import resize_grid
from refstar_model.losses.hatching import hatching_loss
from refstar_model.losses.identity import identity_distance
from refstar_model.losses.pattern import pattern_loss
from refstar_model.losses.perception import compare_features, feature_distance, style_distance
from refstar_model.losses.pixels import coarse_loss, pixel_loss
from refstar_model.losses.structure import sharpness_loss


@dataclass(frozen=True)
class LossWeights:
    gradient: float = 0.5  # in the pixel loss
    #: Of the pixel loss of a face that has a right reference. All of it asks to leave textures alone: another
    #: photograph predicts pixels badly.
    detail: float = 0.35
    low_pass: float = 1.0  # of such a face, on the grid of the fine features
    code: float = 0.1
    attention: float = 0.3
    alignment: float = 0.3  # of corresponding points
    pattern: float = 1.0
    hatching: float = 0.1
    perceptual: float = 0.1
    style: float = 0.02
    sharpness: float = 0.1
    adversarial: float = 0.5  # how strong its gradient at the picture is, compared with that of pixels
    identity: float = 0.1  # of faces that have a right reference


def restoration_terms(
    picture: Tensor,
    truth: Tensor,
    helped: Tensor,
    weights: LossWeights,
    recognizer: Recognizer | None,
    grid: int,
) -> dict[str, Tensor]:
    """Terms of every batch; with a recognizer and a right reference also what it sees in both, and who it sees.

    ``helped`` [B]: which faces have a right reference; ``grid``: side of the fine features. Of the others only pixels
    are asked: what lets a picture look like a photograph let those fall below system 3's (by .03 dB after 8,000 faces).
    """
    share = torch.where(helped, weights.detail, 1.0)
    coarse = coarse_loss(picture, truth, grid)
    terms = {
        "pixels": (share * pixel_loss(picture, truth, weights.gradient)).mean(),
        "coarse": weights.low_pass * (helped * coarse).mean(),
        "pattern": weights.pattern * pattern_loss(picture, truth).mean(),
        "hatching": weights.hatching * hatching_loss(picture, truth).mean(),
    }
    if recognizer is not None and bool(helped.any()):
        picture, truth, of = picture[helped], truth[helped], len(truth)
        seen, wanted = compare_features(recognizer, picture, truth)
        terms["perceptual"] = weights.perceptual * feature_distance(seen, wanted).sum() / of
        terms["style"] = weights.style * style_distance(seen, wanted).sum() / of
        terms["identity"] = weights.identity * identity_distance(recognizer, picture, truth).sum() / of
    return terms


def sharpness_term(picture: Tensor, truth: Tensor, helped: Tensor, weights: LossWeights) -> Tensor:
    """Of faces that have a right reference only, as `restoration_terms`."""
    return weights.sharpness * (helped * sharpness_loss(picture, truth)).mean()


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
        places = one.shares.shape[-1]
        colors = resize_grid(one.colors.float(), places) / add_shares(one.shares).clamp(min=1e-3)
        away = coarse_loss(colors + 0.5, truth, places)
        losses.append((away * helped).sum() / helped.sum().clamp(min=1))
    return torch.stack(losses).mean()
