"""Alignment: a bounded, smooth move of a reference onto the face, before anything is taken from it.

Both pictures already stand on the five-point template; what is left are other poses of the head and other
expressions. The field is supervised by corresponding points of face meshes (``alignment_loss``) and by nothing else:
a field that was free to please the picture's losses dragged eyes and mouth about and cost identity.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from refstar_model.layers.blocks import ChannelNorm, naf_blocks
from refstar_model.layers.color import join_color, split_color
from refstar_model.layers.pyramid import down, up

#: Side of the grid of control points.
CONTROL = 8


class AlignmentHead(nn.Module):
    """Predicts the displacement of one reference from both pictures' coarse features; a new one answers zero."""

    def __init__(
        self, channels: int, hidden: int, grid: int, reach: float, reference_channels: int | None = None
    ) -> None:
        """``grid`` is the side of the coarse features; ``reach`` the bound, in picture widths.

        ``reference_channels``: where a reference's features have another number of channels than the face's.
        """
        super().__init__()
        reference_channels = reference_channels or channels
        self.reach = reach
        stride = max(1, grid // CONTROL)
        self.norm = ChannelNorm(channels)
        self.norm_reference = ChannelNorm(reference_channels)
        self.mix = nn.Conv2d(channels + reference_channels, hidden, 1)
        self.look = naf_blocks(hidden, 2)
        self.shrink = nn.Conv2d(hidden, hidden, stride, stride=stride)
        # Where on the template a place is tells which part of a face it shows.
        self.position = nn.Parameter(torch.zeros(hidden, grid // stride, grid // stride))
        self.settle = naf_blocks(hidden, 2)
        self.out = nn.Conv2d(hidden, 2, 3, padding=1)
        nn.init.zeros_(self.out.weight)
        assert self.out.bias is not None
        nn.init.zeros_(self.out.bias)

    def forward(self, face: Tensor, reference: Tensor) -> Tensor:
        """face [B, C, g, g], reference [B, R, D, g, g] to displacements [B, R, 2, c, c] (x, y) in picture widths.

        out(p) = reference(p + displacement(p)), each component within +-reach.
        """
        batch, count = reference.shape[:2]
        beside = self.norm(face).unsqueeze(1).expand(-1, count, -1, -1, -1).flatten(0, 1)
        h = self.mix(torch.cat([beside, self.norm_reference(reference.flatten(0, 1))], 1))
        h = self.settle(self.shrink(self.look(h)) + self.position)
        return (torch.tanh(self.out(h).float()) * self.reach).unflatten(0, (batch, count))


def warp(x: Tensor, displacement: Tensor, cubic: bool = False) -> Tensor:
    """x [N, C, h, h] seen through a displacement [N, 2, c, c] in widths; h and c are powers of two, borders repeat.

    ``cubic`` is for pictures: bilinear sampling took a tenth of the result's sharpness. A displacement of zero returns
    x exactly: sides being powers of two, the sampling places are exact.
    """
    side = x.shape[-1]
    field = smooth_field(displacement, side)
    if torch.compiler.is_exporting() and x.shape[1] > 2:
        return _gather(x, field)
    axis = (2 * torch.arange(side, device=x.device) + 1) / side - 1
    y, x_axis = torch.meshgrid(axis, axis, indexing="ij")
    places = torch.stack([x_axis, y], -1) + 2 * field.permute(0, 2, 3, 1)
    mode = "bicubic" if cubic else "bilinear"
    sampled = F.grid_sample(x.float(), places, mode=mode, padding_mode="border", align_corners=False)
    return sampled.to(x.dtype)


def warp_picture(picture: Tensor, displacement: Tensor) -> Tensor:
    """``warp`` for pictures [N, 3, H, H]: luminance cubic, colors (B - Y and R - Y, BT.601) bilinear at half size.

    What JPEG leaves of color is no finer, and cubic sampling of three channels was a ninth of a restoration.
    """
    y, color = split_color(picture.float())
    moved = warp(down(color), displacement)
    return join_color(warp(y, displacement, cubic=True), up(moved))


def _gather(x: Tensor, field: Tensor) -> Tensor:
    """Bilinear ``warp`` of many channels: four look-ups of all channels of a place at once, where onnxruntime's
    GridSample computes every place again for every channel. x [N, C, h, h], field [N, 2, h, h].
    """
    batch, channels, side = x.shape[:3]
    axis = torch.arange(side, dtype=torch.float32, device=x.device)
    column = (axis + field[:, 0] * side).clamp(0, side - 1)
    row = (axis[:, None] + field[:, 1] * side).clamp(0, side - 1)
    # Clamped as integers: a sick reference's NaN must not become a place that does not exist.
    left, top = (places.floor().long().clamp(0, side - 2) for places in (column, row))
    right_share, lower_share = (column - left).flatten()[:, None], (row - top).flatten()[:, None]
    first = torch.arange(batch, device=x.device)[:, None, None] * side**2
    corner = (first + top * side + left).flatten()
    places = x.flatten(2).transpose(1, 2).reshape(-1, channels)
    upper, lower = (
        places[corner + step] * (1 - right_share) + places[corner + step + 1] * right_share
        for step in (0, side)
    )
    mixed = upper * (1 - lower_share) + lower * lower_share
    return mixed.reshape(batch, side**2, channels).transpose(1, 2).reshape(x.shape)


def smooth_field(displacement: Tensor, side: int) -> Tensor:
    """Control points [N, 2, c, c] to a field [N, 2, side, side].

    Bilinear doubling again and again is Chaikin's corner cutting: its limit is a quadratic spline, without kinks.
    """
    field = displacement
    while field.shape[-1] < side:
        # From 64 on the field is as smooth as can be seen, and one large step is cheaper.
        factor = side // field.shape[-1]
        if field.shape[-1] < 64:
            field = up(field)
        else:
            field = F.interpolate(field, scale_factor=float(factor), mode="bilinear", align_corners=False)
    if field.shape[-1] > side:
        field = F.avg_pool2d(field, field.shape[-1] // side)
    return field


def alignment_loss(
    displacement: Tensor, truth_points: Tensor, reference_points: Tensor, known: Tensor
) -> Tensor:
    """Huber distance (bend at 1/100 width) between where the field says a point of the face is and where it is.

        mean over points of huber(d(p_truth) - (p_reference - p_truth)), in 1/100 of the width

    displacement [B, R, 2, c, c] in widths; truth_points [B, K, 2] and reference_points [B, R, K, 2] in 0..1 (x, y);
    known bool [B, R]: pairs that have points. A scalar; zero where nothing is known.
    """
    batch, count = displacement.shape[:2]
    field = smooth_field(displacement.float().flatten(0, 1), 64)
    places = (2 * truth_points - 1).repeat_interleave(count, 0).unsqueeze(1)
    there = F.grid_sample(field, places.float(), mode="bilinear", padding_mode="border", align_corners=False)
    found = there.squeeze(2).transpose(1, 2).unflatten(0, (batch, count))
    wanted = reference_points - truth_points.unsqueeze(1)
    # Pairs without points may hold anything, NaN too.
    wanted = torch.where(known[..., None, None], wanted, found.detach())
    each = F.huber_loss(found * 100, wanted.to(found.dtype) * 100, reduction="none").mean((2, 3))
    return (each * known).sum() / known.sum().clamp(min=1)
