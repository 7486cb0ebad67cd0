"""How far a face is from the same person's, as a recognizer sees it."""

import torch
from torch import Tensor

from refstar_model.judges.recognition import Recognizer, arcface_crop


def identity_distance(recognizer: Recognizer, picture: Tensor, truth: Tensor) -> Tensor:
    """1 - cosine of the recognizer's embeddings, on crops jittered alike in place, mirror and noise: [B]."""
    shift = torch.empty(len(picture), 2).uniform_(-2, 2)
    noise = torch.randn(len(picture), 3, 112, 112, device=picture.device) * (4 / 255)
    crops = [arcface_crop(p, shift) + noise for p in (picture, truth.to(picture.dtype))]
    if torch.rand(()) < 0.5:
        crops = [c.flip(3) for c in crops]
    with torch.no_grad():
        wanted = recognizer(crops[1] * 255)
    return 1 - (recognizer(crops[0] * 255) * wanted).sum(1)
