"""The two networks as the service sees them: pictures in, faces in pixels out."""

import copy

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from refstar_model.detector.geometry import CROP_TEMPLATE
from refstar_model.detector.losses import POINT_UNIT
from refstar_model.detector.network import STRIDE, UNIT, Finder, Refiner


class Detect(nn.Module):
    """A view uint8 [1, H, W, 3], sides multiples of 16, to scores [1, N] in 0..1, boxes [1, N, 4] (x, y, width, height)
    and points [1, N, 5, 2] in pixels of the view; N = H / 8 * W / 8, one answer per place.
    """

    def __init__(self, finder: Finder) -> None:
        super().__init__()
        self.finder = fuse_normalization(finder)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        answer = self.finder(image.permute(0, 3, 1, 2).float())
        rows, columns = answer.shape[2], answer.shape[3]
        x = (
            (torch.arange(columns) * STRIDE + (STRIDE - 1) / 2)
            .reshape(1, 1, columns)
            .expand(1, rows, columns)
        )
        y = (torch.arange(rows) * STRIDE + (STRIDE - 1) / 2).reshape(1, rows, 1).expand(1, rows, columns)
        at = torch.stack([x, y], -1).reshape(1, rows * columns, 2)
        flat = answer.permute(0, 2, 3, 1).reshape(1, rows * columns, 15)
        middle = at + UNIT * flat[..., 1:3]
        size = UNIT * torch.exp(flat[..., 3:5].clamp(-4, 4))
        points = at[:, :, None] + UNIT * flat[..., 5:].reshape(1, rows * columns, 5, 2)
        return flat[..., 0].sigmoid(), torch.cat([middle - size / 2, size], -1), points


class Refine(nn.Module):
    """Crops uint8 [N, 64, 64, 3] to scores [N] in 0..1 and points [N, 5, 2] in pixels of the crop."""

    def __init__(self, refiner: Refiner) -> None:
        super().__init__()
        self.refiner = fuse_normalization(refiner)
        self.register_buffer("template", torch.tensor(CROP_TEMPLATE, dtype=torch.float32))

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        answer = self.refiner(crops.permute(0, 3, 1, 2).float())
        points = self.template + POINT_UNIT * answer[:, 1:].reshape(-1, 5, 2)
        return answer[:, 0].sigmoid(), points


def fuse_normalization(network: nn.Module) -> nn.Module:
    """A copy in which every convolution has its batch normalization inside."""
    out = copy.deepcopy(network).eval()
    for module in list(out.modules()):
        if isinstance(module, nn.Sequential) and len(module) == 2 and isinstance(module[1], nn.BatchNorm2d):
            convolution = module[0]
            assert isinstance(convolution, nn.Conv2d)
            module[0], module[1] = fuse_conv_bn_eval(convolution, module[1]), nn.Identity()
    # The refiner's first layers are convolution, normalization in a Sequential of their own, too: nothing else is left.
    assert not any(isinstance(m, nn.BatchNorm2d) for m in out.modules())
    return out
