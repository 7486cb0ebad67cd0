"""Features on three grids to a picture: the decoder of RefSTAR's own backbones."""

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional as F

from refstar_model.layers.blocks import PixelUp, naf_blocks
from refstar_model.refstar.params import RefStarParams


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
