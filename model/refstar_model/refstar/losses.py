"""What RefSTAR is trained on. Pictures are [N, 3, h, w] in 0..1; every term is a mean over the batch."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from refstar_model.judges.recognition import Recognizer
from refstar_model.losses.identity import identity_distance
from refstar_model.losses.perception import Vgg, recognizer_distance
from refstar_model.losses.pixels import coarse_loss, pixel_loss
from refstar_model.losses.structure import sharpness_loss, structure_loss
from refstar_model.refstar.mask_labels import mask_loss
from refstar_model.refstar.network import Restoration
from refstar_model.refstar.target import Target


@dataclass(frozen=True)
class LossWeights:
    self_stream: float = 1.0
    low_pass: float = 1.0  # of the picture with a right reference, on the mask's grid
    # With a right reference the full-resolution share goes from `detail_low` at fidelity 0 to `detail_high` at 1,
    # geometrically (0.32 at 0.5). A real reference predicts pixels badly, so a full pixel loss closes the mask.
    detail_low: float = 0.1
    detail_high: float = 1.0
    gradient: float = 0.5
    mask: float = 0.02
    # An identity loss of 0.5 paints texture that only its own recognizer sees: keep it small, on jittered crops.
    identity: float = 0.1
    structure: float = 0.0  # contrast and structure of SSIM over three scales
    perceptual: float = 0.0  # features of the recognizer's first layers
    vgg: float = 0.0  # features of VGG-19, where the user has its weights
    sharpness: float = 0.15  # amount of fine detail, place by place
    #: How strong the discriminator's gradient at the pictures is, compared with all others; from `adversarial_from` on.
    adversarial: float = 0.5
    matching: float = 0.0  # features of the discriminator, likewise
    cycle: float = 0.05  # what was taken must be recoverable; opens the masks
    alignment: float = 1.0  # of corresponding points, where the net has an alignment


def restoration_loss(
    result: Restoration,
    target: Target,
    references: Tensor,
    weights: LossWeights,
    recognizer: Recognizer | None,
    identity_share: float,
    vgg: Vgg | None = None,
) -> tuple[Tensor, dict[str, float]]:
    """The total and its parts.

    ``references`` [B, R, 3, T, T], as the blend saw them; ``identity_share`` 0..1 fades identity in.
    Terms that compare a picture with the truth act on the self stream, and on the result as far as `detail` allows.
    """
    truth = target.truth
    grid = result.masks.shape[-1]
    parts = {"self": weights.self_stream * pixel_loss(result.self_stream, truth, weights.gradient).mean()}
    helped = target.right.any(1)
    detail = weights.detail_low * (weights.detail_high / weights.detail_low) ** target.fidelity
    detail = torch.where(helped, detail, torch.ones_like(detail))
    full = pixel_loss(result.restored, truth, weights.gradient)
    coarse = coarse_loss(result.restored, truth, grid)
    parts["final"] = (detail * full + weights.low_pass * helped * coarse).mean()

    for name, (weight, distance) in look_losses(weights, recognizer, vgg).items():
        far = distance(result.self_stream, truth) + detail * distance(result.restored, truth)
        parts[name] = weight * far.mean()

    parts["mask"] = weights.mask * mask_loss(result, target, references)
    if recognizer is not None and identity_share > 0 and bool(helped.any()):
        share = identity_share * (1.5 - target.fidelity[helped])
        stranger = identity_distance(recognizer, result.restored[helped], truth[helped])
        parts["identity"] = weights.identity * (share * stranger).sum() / len(truth)
    total = torch.stack(list(parts.values())).sum()
    return total, {name: float(value.detach()) for name, value in parts.items()}


def self_stream_loss(
    picture: Tensor,
    truth: Tensor,
    weights: LossWeights,
    recognizer: Recognizer | None,
    vgg: Vgg | None = None,
) -> tuple[Tensor, dict[str, float]]:
    """The terms of `restoration_loss` that a picture restored without any reference has."""
    parts = {"self": weights.self_stream * pixel_loss(picture, truth, weights.gradient).mean()}
    for name, (weight, distance) in look_losses(weights, recognizer, vgg).items():
        parts[name] = weight * distance(picture, truth).mean()
    total = torch.stack(list(parts.values())).sum()
    return total, {name: float(value.detach()) for name, value in parts.items()}


def look_losses(
    weights: LossWeights, recognizer: Recognizer | None, vgg: Vgg | None
) -> dict[str, tuple[float, Callable[[Tensor, Tensor], Tensor]]]:
    """The terms that compare the looks of two pictures, as far as they are on: weight and distance [B]."""
    terms: dict[str, tuple[float, Callable[[Tensor, Tensor], Tensor]]] = {
        "structure": (weights.structure, structure_loss),
        "sharpness": (weights.sharpness, sharpness_loss),
    }
    if recognizer is not None:
        terms["perceptual"] = (weights.perceptual, partial(recognizer_distance, recognizer))
    if vgg is not None:
        terms["vgg"] = (weights.vgg, vgg.distance)
    return {name: term for name, term in terms.items() if term[0]}
