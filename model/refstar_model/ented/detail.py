"""Detail that textures add to the picture, finer than features of the fine grid can carry.

    residual = luminance of shuffle(conv(leaky(conv(leaky(climb(D) + conv(T) + conv(input unshuffled by 2))))))

D is what the distribution on the fine grid has drawn, T the colors that were taken, at half of the picture's side. With
features alone likeness came as drawn outlines, without skin: what they reach has a quarter of the side. The last
convolution starts at zero. No color is added: at lids and teeth of badly degraded faces it was green and magenta rings.
Color at a quarter of the side had rings still, at an eighth no more, and no use either: val pictures lose .05, .1 and,
without any, .1 dB (ENTED 0.1.0, which learned with colors).

The knob ``fidelity`` scales it, without any training. What it draws is sharp and not quite in its place, so that less
of it is nearer to the truth, while likeness comes with the textures on the grids. 12 val cases with the right reference
(49,500 faces seen; without one 24.29 and 28.30 dB), PSNR / identity / sharpness:

    share  severe              moderate
    1      24.06 / .769 / .92  27.52 / .888 / .85
    .8     24.28 / .762 / .78  27.82 / .887 / .74
    .6     24.47 / .751 / .64  28.06 / .884 / .64
    .4     24.59 / .733 / .50  28.22 / .878 / .54
    0      24.66 / .679 / .33  28.27 / .859 / .43

Weights of before the discriminator, mixed in half, came to 24.19 / .746 / .77 and 27.81 / .882 / .71.
"""

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from refstar_model.ented.textures import Distributed, start_at_zero
from refstar_model.layers.color import luminance
from refstar_model.layers.folding import UnshuffledConv
from refstar_model.layers.leaky import activate, start
from refstar_model.layers.pyramid import double_to, up


def share_detail(fidelity: Tensor) -> Tensor:
    """How much of the detail is added at a ``fidelity`` [B] in 0..1: all at 0, 0.65 at 0.5, 0.3 at 1; [B, 1, 1, 1]."""
    return (1 - 0.7 * fidelity).reshape(-1, 1, 1, 1)


class Detail(nn.Module):
    """What was taken on the fine grid, and the degraded face, to what is added to the picture."""

    def __init__(self, hidden: int, widths: tuple[int, ...]) -> None:
        """``hidden``: channels of what was drawn on the fine grid g; ``widths``: channels on the way up from there, one
        for each doubling to the side of the colors."""
        super().__init__()
        last = widths[-1]
        self.climb = nn.ModuleList(
            start(nn.Conv2d(a, b, 3, padding=1)) for a, b in pairwise((hidden, *widths))
        )
        self.take = start(nn.Conv2d(3, last, 3, padding=1))
        self.look = start(UnshuffledConv(2, last, 3))
        self.draw = start(nn.Conv2d(last, last, 3, padding=1))
        self.out = start_at_zero(nn.Conv2d(last, 12, 3, padding=1))

    def forward(self, taken: Distributed, low_quality: Tensor) -> Tensor:
        """low_quality [B, 3, S, S] in 0..1, S twice the side of the colors; returns [B, 1, S, S], fp32."""
        x = taken.drawn
        for conv in self.climb:
            x = up(activate(conv(x)))
        x = x + self.take(taken.colors.to(x.dtype)) + self.look(low_quality * 2 - 1)
        x = self.out(activate(self.draw(activate(x))))
        amount = double_to(taken.amount, x.shape[-1])
        return luminance(F.pixel_shuffle(x * amount, 2).float())
