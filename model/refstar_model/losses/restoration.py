"""What a picture is held to that a reference helps with. Pictures are [B, 3, h, w] in 0..1; terms are means.

    total = pixels + coarse + pattern + hatching + perceptual + style + identity + share (sharpness + adversarial)

``share`` fades in what sharpens. Pixels: Charbonnier and gradients (losses.pixels). Only faces with a right reference
are asked for more than pixels: what lets a picture look like a photograph let those without one fall below the self
stream (by .03 dB after 8,000 faces, ENTED).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from refstar_model.judges.recognition import Recognizer
from refstar_model.losses.adversary import Adversary
from refstar_model.losses.balance import balance_loss
from refstar_model.losses.hatching import hatching_loss
from refstar_model.losses.identity import identity_distance
from refstar_model.losses.pattern import pattern_loss
from refstar_model.losses.perception import compare_features, feature_distance, style_distance
from refstar_model.losses.pixels import coarse_loss, pixel_loss
from refstar_model.losses.structure import sharpness_loss


@dataclass(frozen=True)
class RestorationWeights:
    gradient: float = 0.5  # in the pixel loss
    #: Of the pixel loss of a face that has a right reference, at a fidelity of 0.5. All of it asks to leave the
    #: reference alone: another photograph predicts pixels badly.
    detail: float = 0.35
    low_pass: float = 1.0  # of such a face, on the grid of the fine features
    pattern: float = 1.0
    hatching: float = 0.1
    perceptual: float = 0.1
    style: float = 0.02
    sharpness: float = 0.1
    #: How strong its gradient at the picture is, compared with that of a whole pixel loss, of which a helped face is
    #: asked ``detail`` only: .5 of the whole is 1.4 times what pixels then pull.
    adversarial: float = 0.5
    identity: float = 0.1  # of faces that have a right reference


def restoration_terms(
    picture: Tensor,
    truth: Tensor,
    helped: Tensor,
    weights: RestorationWeights,
    recognizer: Recognizer | None,
    grid: int,
    fidelity: Tensor | None = None,
) -> dict[str, Tensor]:
    """Terms of every batch; with a recognizer and a right reference also what it sees in both, and who it sees.

    ``helped`` [B]: which faces have a right reference; ``grid``: side of the fine features; ``fidelity`` [B] in 0..1 of
    a network that has that knob: of helped faces detail^(2 - 2 fidelity) of the pixel loss is asked, all of it at 1.
    """
    knob = torch.full_like(helped, 0.5, dtype=truth.dtype) if fidelity is None else fidelity
    share = torch.where(helped, weights.detail ** (2 - 2 * knob), 1.0)
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


def sharpening_terms(
    picture: Tensor,
    truth: Tensor,
    helped: Tensor,
    weights: RestorationWeights,
    adversary: Adversary | None,
    share: float,
) -> dict[str, Tensor]:
    """What asks for detail, ``share`` 0..1 of it, of faces with a right reference; nothing where it is of no use."""
    if share <= 0 or not bool(helped.any()):
        return {}
    terms = {"sharpness": share * weights.sharpness * (helped * sharpness_loss(picture, truth)).mean()}
    if adversary is not None:
        fooled, _ = adversary.judge([picture[helped]], truth[helped], matched=False)
        against = (helped * pixel_loss(picture, truth, weights.gradient)).mean()
        terms["adversarial"] = balance_loss(fooled, against, [picture], share * weights.adversarial)
    return terms
