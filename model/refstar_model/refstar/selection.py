"""Selection: from the degraded face and one reference, how far each band of the reference may be taken at each place.

The paper's RefSel predicts one binary mask; ours is soft and has one channel per Laplacian band, since a reference may
be right about the pores of a cheek and wrong about its shading. Besides features it is shown the plain evidence: how
the reference's bands agree with those of the picture restored without it. Whether it is the right person at all is
asked elsewhere (`person_gate`).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from refstar_model.layers.color import luminance
from refstar_model.layers.face_window import face_window
from refstar_model.layers.folding import UnshuffledConv
from refstar_model.layers.pyramid import laplacian, resize_grid
from refstar_model.layers.separable import both_ways, resizing, window_mean


def evidence(own: Tensor, other: Tensor, bands: int, grid: int) -> Tensor:
    """How far two luminances agree, per band and place: [N, 2 bands, grid, grid].

    own, other [N, 1, H, W] in 0..1. First the structure of every band, (2 cov + c) / (var + var' + c) in -1..1, then
    its balance, (sd' - sd) / (sd' + sd + c) in -1..1, 1 where only the other has detail; in 5x5 windows of the grid.
    """
    structure, balance = [], []
    for pair in laplacian(torch.cat([own, other], 1), bands):
        a, b = pair[:, :1], pair[:, 1:]
        ours, theirs, common = _window_means(torch.cat([a * a, b * b, a * b], 1), grid).split(1, 1)
        structure.append((2 * common + 3e-4) / (ours + theirs + 3e-4))
        deviation, deviation_other = (v.clamp(min=1e-8).sqrt() for v in (ours, theirs))
        balance.append((deviation_other - deviation) / (deviation_other + deviation + 0.01))
    return torch.cat(structure + balance, 1)


def _window_means(x: Tensor, grid: int) -> Tensor:
    """x [N, C, h, h] on a grid, means of its 5x5 windows; [N, C, grid, grid]."""
    if not torch.compiler.is_exporting():
        return F.avg_pool2d(resize_grid(x, grid), 5, 1, 2, count_include_pad=False)
    side = x.shape[-1]
    return both_ways(window_mean(grid, 5) @ resizing(side, grid), x)


class SelectionHead(nn.Module):
    """Trust per band and reference, judged for each reference alone."""

    def __init__(self, channels: int, hidden: int, bands: int, unshuffle: int, grid: int) -> None:
        super().__init__()
        self.bands = bands
        self.difference = UnshuffledConv(unshuffle, channels, 1)
        self.mix = nn.Conv2d(3 * channels + 1, hidden, 1)
        # New in weights that had no evidence: adds zero until it is trained.
        self.evidence = nn.Conv2d(2 * bands, hidden, 1, bias=False)
        nn.init.zeros_(self.evidence.weight)
        self.middle = nn.Conv2d(hidden, hidden, 3, padding=1)
        self.out = nn.Conv2d(hidden, bands, 3, padding=1)
        nn.init.zeros_(self.out.weight)
        assert self.out.bias is not None
        nn.init.zeros_(self.out.bias)
        # A new net starts by taking from inside the face and hardly anything outside it.
        self.position = nn.Parameter((face_window(grid) * 5 - 4).repeat(bands, 1, 1))

    def forward(
        self,
        y: Tensor,
        reference: Tensor,
        difference: Tensor,
        fidelity: Tensor,
        self_stream: Tensor | None = None,
    ) -> Tensor:
        """Logits [B, R, bands, g, g].

        y [B, C, g, g]: decoder features; reference [B, R, C, g, g]: reference features on the same grid;
        difference [B, R, 3, H, W]: restored without reference minus reference picture; fidelity [B] in 0..1;
        self_stream [B, 3, H, W]: the picture restored without reference; without it there is no evidence.
        """
        batch, count = reference.shape[:2]
        looked, seen = self.look(y, reference, difference, fidelity, self_stream)
        return self.decide(looked, seen).unflatten(0, (batch, count))

    def look(
        self,
        y: Tensor,
        reference: Tensor,
        difference: Tensor,
        fidelity: Tensor,
        self_stream: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """What is decided by, arguments as for ``forward``: features [B R, 3 C + 1, g, g], evidence where asked."""
        batch, count = reference.shape[:2]
        beside = y.unsqueeze(1).expand(-1, count, -1, -1, -1)
        apart = self.difference(difference.flatten(0, 1)).unflatten(0, (batch, count))
        knob = fidelity.to(y.dtype).reshape(batch, 1, 1, 1, 1).expand(-1, count, 1, *y.shape[-2:])
        looked = torch.cat([beside, reference, apart, knob], 2).flatten(0, 1)
        if self_stream is None:
            return looked, None
        return looked, self._see_evidence(self_stream, difference, y.shape[-1]).to(looked.dtype)

    def decide(self, looked: Tensor, seen: Tensor | None) -> Tensor:
        """Logits [B R, bands, g, g] of what ``look`` returned."""
        mixed = self.mix(looked)
        if seen is not None:
            mixed = mixed + self.evidence(seen)
        return self.out(F.gelu(self.middle(F.gelu(mixed)))) + self.position

    def _see_evidence(self, self_stream: Tensor, difference: Tensor, grid: int) -> Tensor:
        own = luminance(self_stream.float()).unsqueeze(1)
        other = own - luminance(difference.float().flatten(0, 1)).unflatten(0, difference.shape[:2])
        return evidence(own.expand_as(other).flatten(0, 1), other.flatten(0, 1), self.bands, grid)
