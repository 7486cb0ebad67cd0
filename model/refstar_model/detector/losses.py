"""What the two networks are punished for."""

import torch
from torch import Tensor
from torch.nn import functional as F

from refstar_model.detector.geometry import CROP_TEMPLATE
from refstar_model.detector.samples import Candidates, Views

POINT_UNIT = 8.0  # pixels of the crop that the refiner's answers are measured in
EYES_APART = 20.46  # pixels: inter-ocular distance in the crop


def finder_loss(answer: Tensor, views: Views) -> tuple[Tensor, dict[str, float]]:
    """Focal loss (arXiv 1708.02002, gamma 2) on the scores, smooth L1 on box and points in shares of the face."""
    answer = answer.float()
    wanted, judged = views.wanted, views.wanted[:, 0] >= 0
    face = views.wanted[:, 0] == 1
    target = face.float()
    raw = F.binary_cross_entropy_with_logits(answer[:, 0], target, reduction="none")
    focus = (answer[:, 0].sigmoid() - target).abs() ** 2 * torch.where(face, 0.6, 0.4)
    count = face.sum().clamp(min=1)
    score = (raw * focus * judged).sum() / count
    difference = (answer[:, 1:] - wanted[:, 1:]).permute(0, 2, 3, 1)[face]
    scale = torch.where(torch.arange(14) < 2, 1.0, 0.0) + torch.where(torch.arange(14) >= 4, 1.0, 0.0)
    relative = difference / torch.where(scale > 0, views.size[face][:, None], torch.ones(1))
    shape = F.smooth_l1_loss(relative, torch.zeros_like(relative), beta=0.05, reduction="none")
    box, points = shape[:, :4].mean(1).sum() / count, shape[:, 4:].mean(1).sum() / count
    loss = score + box + 3 * points
    return loss, {
        "score": float(score.detach()),
        "box": float(box.detach()),
        "points": float(points.detach()),
    }


def refiner_loss(answer: Tensor, batch: Candidates) -> tuple[Tensor, dict[str, float]]:
    """Cross entropy on the score; on a face's points the wing-like smooth L1 in inter-ocular distances."""
    answer = answer.float()
    score = F.binary_cross_entropy_with_logits(answer[:, 0], batch.face.float())
    template = torch.tensor(CROP_TEMPLATE, dtype=torch.float32)
    points = template + POINT_UNIT * answer[:, 1:].reshape(-1, 5, 2)
    difference = (points - batch.points)[batch.face] / EYES_APART
    shape = F.smooth_l1_loss(difference, torch.zeros_like(difference), beta=0.03)
    error = difference.detach().norm(dim=-1).mean()
    return score + 8 * shape, {"score": float(score.detach()), "error": float(error)}
