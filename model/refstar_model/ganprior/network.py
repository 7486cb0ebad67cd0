"""System 3: an asymmetric codec with MMRB and a StyleGAN2 prior. A design of our own after the abstract of Hu et al.

The paper (arXiv 2205.14377) says codec, MMRB and StyleGAN2 prior; how they are joined we had to choose:

    S = input + up(correction of the decoder, at a quarter of the side)
              + shuffle(conv(leaky(conv(prior's finest features) + climb(decoder's features)
                                   + conv(input unshuffled by 2))))

Why a residual on the input, and not the generator's picture: what is right in the input must pass exactly, and no path
through codes and 64 x 64 features can carry a clean face of 512 (33 dB was the best that 8-fold shuffling reached,
38 dB with a look at the input; measured at equal time). Why the finest convolutions see all three: where the input
holds detail, they learn to add nothing; where it is blurred, they can take the blur off, since they see it, and put the
prior's detail there. Why the decoder also climbs to them by itself, in two plain convolutions: through the modulated
ones alone learning is slow (gain after 1,200 faces, severe / moderate: +.08 / +.05 dB without, +.15 / +.09 with it, and
+.21 / +.11 with NAF blocks in place of MMRB; one seed, equal steps of nearly equal time). A picture from scratch is a
special case (the residual is prior minus input), a gate between the two would be one more thing to learn. The last
convolutions start at zero, so that a new network returns its input, and the phases of their pixel shuffles are equal.

The generator's own colors keep it a generator: its picture at a quarter of the size, the sketch, is held to the truth
(``losses``), which teaches codes and bending from the first step on, before the finest convolutions use any of it.
"""

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from refstar_model.backbone import UNAIDED, Drawing, Grids, Transfer
from refstar_model.ganprior.codec import Decoder, FineBends, Guidance, build_encoder
from refstar_model.ganprior.generator import Generator
from refstar_model.ganprior.params import SMALL, GanPriorParams
from refstar_model.ganprior.window import Window
from refstar_model.layers.folding import UnshuffledConv
from refstar_model.layers.leaky import activate, start
from refstar_model.layers.pyramid import halve_to, up

_SKETCH = 0.5  # weight of the sketch's loss


class Finest(nn.Module):
    """The residual [B, 3, H, W] from the prior's finest features, the decoder's and the input; it starts at zero."""

    def __init__(self, params: GanPriorParams) -> None:
        super().__init__()
        self.enlarge = params.finest_grid < params.size // 2
        self.features = start(nn.Conv2d(params.prior_widths[-1], params.finest, 3, padding=1))
        climb = pairwise((params.widths[0], *params.climb, params.finest))
        self.climb = nn.ModuleList(start(nn.Conv2d(a, b, 3, padding=1)) for a, b in climb)
        if params.sees_input:
            self.look = start(UnshuffledConv(2, params.finest, 3))
        self.sees_input = params.sees_input
        # Not equalized: at the codec's rate a residual that starts at zero would take ten times as long to leave it.
        self.out = nn.Conv2d(params.finest, 12, 3, padding=1)
        for values in self.out.parameters():
            nn.init.zeros_(values)

    def forward(self, features: Tensor, decoded: Tensor, low_quality: Tensor) -> Tensor:
        """``features`` of the prior's finest grid, ``decoded`` of the decoder's fine one, low_quality in 0..1."""
        x = self.features(features)
        if self.enlarge:
            x = up(x)
        x = x + self._climb(decoded)
        if self.sees_input:
            x = x + self.look(low_quality * 2 - 1)
        return F.pixel_shuffle(self.out(activate(x)), 2)

    def _climb(self, x: Tensor) -> Tensor:
        *below, last = self.climb
        for conv in below:
            x = up(activate(conv(x)))
        return up(last(x))


class GanPrior(nn.Module):
    """The network by itself, and a ``Backbone`` of RefSTAR."""

    def __init__(self, params: GanPriorParams = SMALL) -> None:
        super().__init__()
        self.params = params
        self.encoder = build_encoder(params)
        self.decoder = Decoder(params)
        self.generator = Generator(params)
        self.finest = Finest(params)
        if params.bends_fine:
            self.fine_bends = FineBends(params)

    def forward(self, low_quality: Tensor, window: Window | None = None) -> Drawing:
        """low_quality [B, 3, H, W] in 0..1; with a ``window`` the picture is drawn there only."""
        return self.draw(low_quality, self.analyze(low_quality), UNAIDED, window)

    def analyze(self, low_quality: Tensor) -> Grids:
        return self.encoder(low_quality)

    def draw(
        self, low_quality: Tensor, features: Grids, transfer: Transfer, window: Window | None = None
    ) -> Drawing:
        return self.render(low_quality, self.decoder(features, transfer), window)

    def render(self, low_quality: Tensor, guidance: Guidance, window: Window | None = None) -> Drawing:
        """What ``guidance`` says, drawn: by the generator, as a correction, and by the finest convolutions."""
        if window is not None:
            low_quality = window.cut(low_quality, self.params.unshuffle)
        bending = dict(guidance.bending)
        if self.params.bends_fine:
            bending |= self.fine_bends(low_quality)
        codes = self.generator.mean_code + guidance.codes
        painted = self.generator.paint(codes, bending, window=window)
        decoded = guidance.fine if window is None else window.cut(guidance.fine)
        picture = low_quality.float() + self.decoder.correct(decoded)
        picture = picture + self.finest(painted.features, decoded, low_quality).float()
        if window is not None:
            picture = window.trim(picture, self.params.unshuffle)
        sketch = painted.colors if window is None else painted.coarse_colors
        return Drawing(guidance.fine, picture, 0.5 + 0.5 * sketch.float(), guidance.codes)

    def losses(self, codes: Tensor | None, truth: Tensor) -> dict[str, Tensor]:
        """``sketch``: 0.5 x L1 of the sketch (``codes`` as drawn) to the truth, which is whole, at its size.

        The sketch is [B, 3, f/2, f/2], and with a window [B, 3, g, g]: there it tells of the whole face what the
        picture tells of a part only.
        """
        assert codes is not None
        return {"sketch": _SKETCH * (codes - halve_to(truth, codes.shape[-1])).abs().mean()}
