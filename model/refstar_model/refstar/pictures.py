"""Pictures to features on three grids and back: what the backbones of RefSTAR and its reference encoder are made of."""

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional as F

from refstar_model.backbone import Grids
from refstar_model.layers.blocks import PixelUp, naf_blocks
from refstar_model.layers.folding import UnshuffledConv
from refstar_model.refstar.params import RefStarParams


class PictureEncoder(nn.Module):
    """Pictures to features on three grids."""

    def __init__(self, params: RefStarParams, blocks: tuple[int, int, int]) -> None:
        super().__init__()
        fine, middle, coarse = params.widths
        self.stem = UnshuffledConv(params.unshuffle, fine, 3)
        self.fine = naf_blocks(fine, blocks[0])
        self.to_middle = nn.Conv2d(fine, middle, 2, stride=2)
        self.middle = naf_blocks(middle, blocks[1])
        self.to_coarse = nn.Conv2d(middle, coarse, 2, stride=2)
        self.coarse = naf_blocks(coarse, blocks[2])

    def forward(self, pictures: Tensor) -> Grids:
        """pictures [N, 3, H, W] in 0..1."""
        fine = self.fine(self.stem(pictures * 2 - 1))
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
