"""Two small networks: the finder looks over a whole view, the refiner at one candidate.

The finder knows faces of about 10 to 48 pixels only; larger ones are found in reduced views of the picture, so it stays
small and a blurred face is met where blur does not matter. The refiner sees each candidate upright at one size, says
whether it is a face, and puts the five points right.
"""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

STRIDE = 8  # pixels of a view per place of the finder's answer
UNIT = 24.0  # pixels: the size that the finder measures boxes and points in
CROP = 64  # side of the refiner's crop
OUTPUTS = 15  # score; box center, log size; five points


@dataclass(frozen=True)
class DetectorParams:
    fine: int = 64  # channels at stride 8
    coarse: int = 128  # channels at stride 16
    coarse_blocks: int = 5
    refine: tuple[int, ...] = (24, 48, 96, 128)  # channels at strides 2, 4, 8, 16

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "DetectorParams":
        return cls(**{**values, "refine": tuple(values["refine"])})


def conv(inside: int, outside: int, side: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolution and batch normalization, which the export folds into one."""
    return nn.Sequential(
        nn.Conv2d(inside, outside, side, stride, side // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outside),
    )


class InvertedResidual(nn.Module):
    """Widen, look around, narrow, add (MobileNetV2, arXiv 1801.04381); [N, C, h, w] in and out."""

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        self.widen = conv(channels, 2 * channels, 1)
        self.around = conv(2 * channels, 2 * channels, side, groups=2 * channels)
        self.narrow = conv(2 * channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.narrow(F.relu(self.around(F.relu(self.widen(x)))))


class Finder(nn.Module):
    """RGB [N, 3, H, W] in 0..255, sides multiples of 16, to [N, 15, H / 8, W / 8]: a score (logit), the box's
    center and log size and five points, relative to the place's center and in units of 24 pixels.
    """

    def __init__(self, params: DetectorParams) -> None:
        super().__init__()
        fine, coarse = params.fine, params.coarse
        self.stem = nn.ModuleList([conv(3, 16, 3, 2), conv(16, 32, 3, 2), conv(32, fine, 3, 2)])
        self.near = nn.Sequential(InvertedResidual(fine, 3), InvertedResidual(fine, 3))
        self.shrink = nn.ModuleList([conv(fine, fine, 3, 2, fine), conv(fine, coarse, 1)])
        self.far = nn.Sequential(*(InvertedResidual(coarse, 5) for _ in range(params.coarse_blocks)))
        self.back = conv(coarse, fine, 1)
        self.join = nn.Sequential(InvertedResidual(fine, 3), InvertedResidual(fine, 3))
        self.head = nn.Conv2d(fine, OUTPUTS, 1)
        assert self.head.bias is not None
        with torch.no_grad():
            self.head.bias.zero_()
            self.head.bias[0] = -4.0  # nearly every place is no face

    def forward(self, x: Tensor) -> Tensor:
        x = (x - 127.5) / 64
        for layer in self.stem:
            x = F.relu(layer(x))
        near = self.near(x)
        far = self.far(F.relu(self.shrink[1](self.shrink[0](near))))
        joined = near + F.interpolate(self.back(far), scale_factor=2.0, mode="nearest")
        return torch.as_tensor(self.head(F.relu(self.join(joined))))


class Refiner(nn.Module):
    """RGB [N, 3, 64, 64] in 0..255 to [N, 11]: a score (logit), and how far the five points are from where the template
    has them, in units of 8 pixels of the crop.
    """

    def __init__(self, params: DetectorParams) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inside = 3
        for index, channels in enumerate(params.refine):
            layers += [conv(inside, channels, 3, 2), nn.ReLU()]
            layers += [InvertedResidual(channels, 3) for _ in range(2 if index else 0)]
            inside = channels
        self.body = nn.Sequential(*layers)
        side = CROP // 2 ** len(params.refine)
        self.out = nn.Sequential(
            nn.Flatten(), nn.Linear(inside * side * side, 128), nn.ReLU(), nn.Linear(128, 11)
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.as_tensor(self.out(F.relu(self.body((x - 127.5) / 64))))
