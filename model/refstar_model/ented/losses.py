"""What ENTED is trained on. Pictures are [B, 3, h, w] in 0..1; every term is a mean over the batch.

    total = pixels + code + attention + sketch + pattern + hatching + perceptual + style + identity
            + share (sharpness + adversarial)

``share`` fades in what sharpens. Pixels: Charbonnier and gradients (losses.pixels); code: `Dictionary.code_loss`;
attention as in NTED, and sketch, both below.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from refstar_model.ented.dictionary import Dictionary
from refstar_model.ented.network import Restoration
from refstar_model.ented.references import Attentions
from refstar_model.judges.recognition import Recognizer
from refstar_model.losses.hatching import hatching_loss
from refstar_model.losses.identity import identity_distance
from refstar_model.losses.pattern import pattern_loss
from refstar_model.losses.perception import compare_features, feature_distance, style_distance
from refstar_model.losses.pixels import pixel_loss
from refstar_model.losses.structure import sharpness_loss


@dataclass(frozen=True)
class LossWeights:
    gradient: float = 0.5  # in the pixel loss
    code: float = 0.1
    attention: float = 0.3
    sketch: float = 0.5
    pattern: float = 1.0
    hatching: float = 0.1
    perceptual: float = 0.1
    style: float = 0.02
    sharpness: float = 0.1
    adversarial: float = 0.5  # how strong its gradient at the picture is, compared with all others
    identity: float = 0.2


def restoration_terms(
    picture: Tensor, truth: Tensor, weights: LossWeights, recognizer: Recognizer | None
) -> dict[str, Tensor]:
    """Terms of every batch; with a recognizer also what it sees in both, and who it sees."""
    terms = {
        "pixels": pixel_loss(picture, truth, weights.gradient).mean(),
        "pattern": weights.pattern * pattern_loss(picture, truth).mean(),
        "hatching": weights.hatching * hatching_loss(picture, truth).mean(),
    }
    if recognizer is not None:
        seen, wanted = compare_features(recognizer, picture, truth)
        terms["perceptual"] = weights.perceptual * feature_distance(seen, wanted).mean()
        terms["style"] = weights.style * style_distance(seen, wanted).mean()
        terms["identity"] = weights.identity * identity_distance(recognizer, picture, truth).mean()
    return terms


def sharpness_term(picture: Tensor, truth: Tensor, weights: LossWeights) -> Tensor:
    return weights.sharpness * sharpness_loss(picture, truth).mean()


def code_term(codes: Tensor, wanted: Tensor, dictionary: Dictionary, weights: LossWeights) -> Tensor:
    """``wanted``: the good photograph's words [B, g, g], as indices."""
    return weights.code * dictionary.code_loss(codes, wanted)


def attention_loss(
    result: Restoration, attentions: Attentions, references: Tensor, truth: Tensor, right: Tensor
) -> Tensor:
    """Whether textures are taken from and brought to like places (the attention reconstruction loss of NTED).

    On every grid, the colors of the reference [B, R, 3, S, S] are extracted by the attention of its textures, and
    distributed by the shares of the drawn face; the L1 to the truth's colors there. Of references that are ``right``
    ([B, R]) only. The texture of nothing is left out: else all places would take it.
    """
    losses = []
    count = references.shape[:2]
    for (_, distributed), attention in zip(
        sorted(result.distributed.items(), reverse=True), attentions, strict=True
    ):
        places = distributed.logits.shape[-1]
        colors = _shrink(references.flatten(0, 1), places).flatten(2)  # [B R, 3, h w]
        extracted = (attention @ colors.transpose(1, 2)).unflatten(0, count)  # [B, R, k, 3]
        shares = torch.softmax(distributed.logits[:, :-1], 1).flatten(2)  # [B, k, h w]
        drawn = extracted.transpose(2, 3) @ shares.unsqueeze(1)  # [B, R, 3, h w]
        away = (drawn - _shrink(truth, places).flatten(2).unsqueeze(1)).abs().mean((2, 3))
        losses.append((away * right).sum() / right.sum().clamp(min=1))
    return torch.stack(losses).mean()


def sketch_loss(sketches: Sequence[Tensor], truth: Tensor, right: Tensor) -> Tensor:
    """Whether what was taken says what the truth looks like: the L1 of pictures that are drawn of it alone.

    ``sketches`` [B, 3, s, s] each; of faces that have a reference that is ``right`` ([B, R]).
    """
    helped = right.any(1).to(truth.dtype)
    away = [(one.float() - _shrink(truth, one.shape[-1])).abs().mean((1, 2, 3)) for one in sketches]
    return (torch.stack(away).mean(0) * helped).sum() / helped.sum().clamp(min=1)


def _shrink(pictures: Tensor, side: int) -> Tensor:
    return F.adaptive_avg_pool2d(pictures, side)
