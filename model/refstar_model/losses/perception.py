"""Perceptual distance: pictures compared by what a network sees in them.

Two networks can be asked: the recognizer's first layers (always at hand), and VGG-19 where the user has its weights,
which this project may not ship.
"""

from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from refstar_model.judges.recognition import Recognizer
from refstar_model.layers.pyramid import halve_to


def recognizer_distance(recognizer: Recognizer, picture: Tensor, truth: Tensor, levels: int = 3) -> Tensor:
    """Mean squared distance of the recognizer's features on its first ``levels`` grids, per picture [B].

    The whole aligned pictures [B, 3, h, w] in 0..1 are shown, at a side of 256 and not as the 112 crop: first layers
    know edges and textures wherever they are, also in hair and background. Every place's features are brought to unit
    length (as in LPIPS, arXiv 1801.03924), so that no layer outweighs the others.
    """
    return feature_distance(*compare_features(recognizer, picture, truth, levels))


def compare_features(
    recognizer: Recognizer, picture: Tensor, truth: Tensor, levels: int = 3
) -> tuple[list[Tensor], list[Tensor]]:
    """What its first ``levels`` grids see in both, [B, C, h, w] each; the truth's without gradient."""
    picture, truth = halve_to(picture, 256), halve_to(truth, 256)
    with torch.no_grad():
        wanted = recognizer.pyramid(truth.clamp(0, 1) * 255, levels)
    # No clamp for the picture: it would take the gradient away where the picture is out of range.
    return recognizer.pyramid(picture * 255, levels), wanted


def feature_distance(seen: list[Tensor], wanted: list[Tensor]) -> Tensor:
    """Mean over layers and places of |a / |a| - b / |b||^2 for features [B, C, h, w]; [B], in 0..4."""
    each = [
        (F.normalize(a.float(), dim=1) - F.normalize(b.float(), dim=1)).square().sum(1).mean((1, 2))
        for a, b in zip(seen, wanted, strict=True)
    ]
    return torch.stack(each).mean(0)


class Vgg(nn.Module):
    """VGG-19's convolutions from torchvision's file (``vgg19-*.pth``), for the perceptual loss of GFPGAN.

    Layers and weights: conv1_2 0.1, conv2_2 0.1, conv3_4 1, conv4_4 1, conv5_4 1, before their ReLU.
    """

    BLOCKS = (2, 2, 4, 4, 4)  # convolutions between two poolings
    WEIGHTS = (0.1, 0.1, 1.0, 1.0, 1.0)
    mean: Tensor
    std: Tensor

    def __init__(self, path: Path) -> None:
        """Raises ValueError when the file holds another network's weights."""
        super().__init__()
        state = torch.load(path, weights_only=True, map_location="cpu")
        names = sorted(
            (n for n in state if n.startswith("features.") and n.endswith("weight")),
            key=lambda name: int(name.split(".")[1]),
        )
        if len(names) != sum(self.BLOCKS):
            raise ValueError(f"{path}: {len(names)} convolutions, not the {sum(self.BLOCKS)} of VGG-19")
        weights = [state[n] for n in names]
        if any(a.shape[0] != b.shape[1] for a, b in pairwise(weights)):
            raise ValueError(f"{path}: the convolutions do not follow one another as in VGG-19")
        self.convolutions = nn.ModuleList()
        for name, weight in zip(names, weights, strict=True):
            layer = nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1)
            layer.load_state_dict({"weight": weight, "bias": state[name.replace("weight", "bias")]})
            self.convolutions.append(layer)
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).reshape(3, 1, 1))
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).reshape(3, 1, 1))
        self.requires_grad_(False)

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """Pictures [B, 3, h, w] in 0..1, h and w multiples of 16, to the five layers."""
        x, out, index = (pictures - self.mean) / self.std, [], 0
        for block, count in enumerate(self.BLOCKS):
            for place in range(count):
                x = self.convolutions[index](x)
                if place == count - 1:
                    out.append(x)
                x, index = F.relu(x), index + 1
            if block < len(self.BLOCKS) - 1:
                x = F.max_pool2d(x, 2)
        return out

    def distance(self, picture: Tensor, truth: Tensor) -> Tensor:
        """Weighted L1 of the layers, per picture [B]."""
        with torch.no_grad():
            wanted = self(truth)
        each = [
            weight * (a.float() - b.float()).abs().mean((1, 2, 3))
            for weight, a, b in zip(self.WEIGHTS, self(picture), wanted, strict=True)
        ]
        return torch.stack(each).sum(0)


def style_distance(seen: list[Tensor], wanted: list[Tensor]) -> Tensor:
    """Mean over layers of the L1 of Gram matrices (arXiv 1508.06576) of features [B, C, h, w]; [B].

    Features are brought to unit length at every place, so that no layer outweighs the others; a Gram matrix
    [C, C] is divided by the number of places.
    """
    each = [
        (_gram(F.normalize(a.float(), dim=1)) - _gram(F.normalize(b.float(), dim=1))).abs().sum((1, 2))
        for a, b in zip(seen, wanted, strict=True)
    ]
    return torch.stack(each).mean(0)


def _gram(x: Tensor) -> Tensor:
    # Places last in memory: with channels last the product of two long strips takes a hundred times as long.
    flat = x.flatten(2).contiguous()
    return flat @ flat.transpose(1, 2) / flat.shape[2]
