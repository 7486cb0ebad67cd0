"""What RefSTAR is trained on. Pictures are [N, 3, h, w] in 0..1; every term is a mean over the batch."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from refstar_model.layers.pyramid import down, laplacian, resize_grid
from refstar_model.recognition import Recognizer, arcface_crop
from refstar_model.refstar.network import Restoration
from refstar_model.refstar.selection import face_window


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


@dataclass(frozen=True)
class Target:
    """truth [B, 3, T, T]; present and right bool [B, R]; fidelity [B]."""

    truth: Tensor
    present: Tensor
    right: Tensor
    fidelity: Tensor


def restoration_loss(
    result: Restoration,
    target: Target,
    references: Tensor,
    weights: LossWeights,
    recognizer: Recognizer | None,
    identity_share: float,
) -> tuple[Tensor, dict[str, float]]:
    """The total and its parts. ``references`` [B, R, 3, T, T]; ``identity_share`` 0..1 fades identity in."""
    truth = target.truth
    grid = result.masks.shape[-1]
    parts = {"self": weights.self_stream * pixel_loss(result.self_stream, truth, weights.gradient).mean()}

    helped = target.right.any(1)
    detail = weights.detail_low * (weights.detail_high / weights.detail_low) ** target.fidelity
    detail = torch.where(helped, detail, torch.ones_like(detail))
    full = pixel_loss(result.restored, truth, weights.gradient)
    coarse = (resize_grid(result.restored, grid) - resize_grid(truth, grid)).abs().mean((1, 2, 3))
    parts["final"] = (detail * full + weights.low_pass * helped * coarse).mean()

    parts["mask"] = weights.mask * mask_loss(result, target, references)
    if recognizer is not None and identity_share > 0 and bool(helped.any()):
        share = identity_share * (1.5 - target.fidelity[helped])
        distance = identity_distance(recognizer, result.restored[helped], truth[helped])
        parts["identity"] = weights.identity * (share * distance).sum() / len(truth)
    total = torch.stack(list(parts.values())).sum()
    return total, {name: float(value.detach()) for name, value in parts.items()}


def pixel_loss(picture: Tensor, truth: Tensor, gradient_weight: float) -> Tensor:
    """Charbonnier plus L1 of the gradients at three scales, per picture: [B]."""
    loss = ((picture - truth).square() + 1e-6).sqrt().mean((1, 2, 3))
    for _ in range(3):
        error = picture - truth
        along_x = (error[..., :, 1:] - error[..., :, :-1]).abs().mean((1, 2, 3))
        along_y = (error[..., 1:, :] - error[..., :-1, :]).abs().mean((1, 2, 3))
        loss = loss + gradient_weight * (along_x + along_y) / 2
        picture, truth = down(picture), down(truth)
    return loss


def identity_distance(recognizer: Recognizer, picture: Tensor, truth: Tensor) -> Tensor:
    """1 - cosine of the recognizer's embeddings, on crops jittered alike in place, mirror and noise: [B]."""
    shift = torch.empty(len(picture), 2).uniform_(-2, 2)
    noise = torch.randn(len(picture), 3, 112, 112) * (4 / 255)
    crops = [arcface_crop(p, shift) + noise for p in (picture, truth.to(picture.dtype))]
    if torch.rand(()) < 0.5:
        crops = [c.flip(3) for c in crops]
    with torch.no_grad():
        wanted = recognizer(crops[1] * 255)
    return 1 - (recognizer(crops[0] * 255) * wanted).sum(1)


def mask_loss(result: Restoration, target: Target, references: Tensor) -> Tensor:
    """Binary cross-entropy of the trust against weak labels from local band correlation.

        label = right person * face window
                * sigmoid((ncc(R_b, Y_b) + 0.5 - ncc(S_b, Y_b) min(1, std S_b / std Y_b)) / 0.1)

    with 7x7 windows on the mask's grid. The labels keep the mask inside the face; the blend's own gradient does the
    rest (at weight 0.1 they were seen to cap the transfer).
    """
    batch, count, bands, grid, _ = result.trust.shape
    skip = bands - (result.self_stream.shape[-1].bit_length() - 4)
    used = bands - skip
    with torch.no_grad():
        truth_bands = laplacian(target.truth, used)
        self_bands = laplacian(result.self_stream, used)
        reference_bands = laplacian(references.flatten(0, 1), used)
        window = face_window(grid)
        labels = []
        for y, s, r in zip(truth_bands, self_bands, reference_bands, strict=True):
            std_y = _local(y.square(), grid).sqrt()
            own = _correlation(s, y, grid) * (_local(s.square(), grid).sqrt() / (std_y + 1e-4)).clamp(max=1)
            other = _correlation(r, y.repeat_interleave(count, 0), grid).reshape(batch, count, grid, grid)
            labels.append(torch.sigmoid((other + 0.5 - own) / 0.1) * window)
        label = torch.stack(labels, 2) * target.right.reshape(batch, count, 1, 1, 1)
    trust = result.trust[:, :, skip:]
    loss = F.binary_cross_entropy_with_logits(trust, label, reduction="none").mean((2, 3, 4))
    return (loss * target.present).sum() / target.present.sum().clamp(min=1)


def _local(x: Tensor, grid: int) -> Tensor:
    """Mean of a picture's channels over 7x7 windows of the grid: [N, 1, g, g]."""
    return F.avg_pool2d(resize_grid(x.mean(1, keepdim=True), grid), 7, 1, 3, count_include_pad=False)


def _correlation(a: Tensor, b: Tensor, grid: int) -> Tensor:
    """Local correlation of two zero-mean bands: [N, 1, g, g] in -1..1."""
    power = _local(a.square(), grid) * _local(b.square(), grid)
    return _local(a * b, grid) / (power.sqrt() + 1e-6)
