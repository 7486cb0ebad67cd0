"""The seam between the three parts of RefSTAR and the network that restores without a reference.

A backbone looks at the degraded face (``analyze``) and draws a picture of it (``draw``). On the way it hands its
features on the two coarser grids to a ``Transfer``, which brings in what references offer there. Selection and the
blend in the picture need its finest features and its picture, nothing else.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from torch import Tensor, nn
from torch.nn import functional as F

from refstar_model.layers.blocks import PixelUp, conv_unshuffled, naf_blocks
from refstar_model.refstar.params import RefStarParams


class Grids(NamedTuple):
    """Features on three grids; with references each has their number R after B, padded with 0 where weight is 0."""

    fine: Tensor  # [B, widths[0], g, g]
    middle: Tensor  # [B, widths[1], g/2, g/2]
    coarse: Tensor  # [B, widths[2], g/4, g/4]


class Transfer(NamedTuple):
    """What references add to a backbone's features; both keep the shape."""

    middle: Callable[[Tensor], Tensor]
    coarse: Callable[[Tensor], Tensor]


#: No reference, and no attention of the face to itself either.
UNAIDED = Transfer(lambda x: x, lambda x: x)


class Drawing(NamedTuple):
    features: Tensor  # [B, widths[0], g, g], those that the picture was made of
    picture: Tensor  # [B, 3, H, W], fp32: S, not clamped
    codes: Tensor | None = None  # [B, codes, g/4, g/4], logits of the codes that were predicted


class Backbone(Protocol):
    def analyze(self, low_quality: Tensor) -> Grids:
        """low_quality [B, 3, H, W] in 0..1."""

    def draw(self, low_quality: Tensor, features: Grids, transfer: Transfer) -> Drawing: ...

    def losses(self, codes: Tensor | None, truth: Tensor) -> dict[str, Tensor]:
        """Terms of its own, beside the losses on its picture; truth [B, 3, T, T], T = H or H / 2; codes as drawn."""


class PictureEncoder(nn.Module):
    """Pictures to features on three grids."""

    def __init__(self, params: RefStarParams, blocks: tuple[int, int, int]) -> None:
        super().__init__()
        fine, middle, coarse = params.widths
        self.unshuffle = params.unshuffle
        self.stem = nn.Conv2d(3 * params.unshuffle**2, fine, 3, padding=1)
        self.fine = naf_blocks(fine, blocks[0])
        self.to_middle = nn.Conv2d(fine, middle, 2, stride=2)
        self.middle = naf_blocks(middle, blocks[1])
        self.to_coarse = nn.Conv2d(middle, coarse, 2, stride=2)
        self.coarse = naf_blocks(coarse, blocks[2])

    def forward(self, pictures: Tensor) -> Grids:
        """pictures [N, 3, H, W] in 0..1."""
        fine = self.fine(conv_unshuffled(self.stem, pictures * 2 - 1, self.unshuffle))
        middle = self.middle(self.to_middle(fine))
        return Grids(fine, middle, self.coarse(self.to_coarse(middle)))


class PictureDecoder(nn.Module):
    """Features on the coarse grid, with additions on the other two, to a picture; it starts at zero."""

    def __init__(self, params: RefStarParams) -> None:
        super().__init__()
        fine, middle, coarse = params.widths
        self.unshuffle = params.unshuffle
        self.up_middle = PixelUp(coarse, middle)
        self.middle = naf_blocks(middle, params.decoder_blocks[1])
        self.up_fine = PixelUp(middle, fine)
        self.fine = naf_blocks(fine, params.decoder_blocks[0])
        self.to_picture = nn.Conv2d(fine, 3 * params.unshuffle**2, 3, padding=1)
        nn.init.zeros_(self.to_picture.weight)
        assert self.to_picture.bias is not None
        nn.init.zeros_(self.to_picture.bias)

    def forward(
        self, coarse: Tensor, middle: Tensor, fine: Tensor, read: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Finest features and picture [N, 3, H, W]; ``read`` is the transfer on the middle grid."""
        y = self.middle(read(middle + self.up_middle(coarse)))
        y = self.fine(fine + self.up_fine(y))
        return y, F.pixel_shuffle(self.to_picture(y), self.unshuffle).float()
