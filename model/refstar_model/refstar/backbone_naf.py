"""Backbone 1: a compact U-Net of NAF blocks that adds to the input."""

from torch import Tensor, nn

from refstar_model.backbone import Drawing, Grids, Transfer
from refstar_model.layers.blocks import naf_blocks
from refstar_model.picture_encoder import PictureEncoder
from refstar_model.refstar.params import RefStarParams
from refstar_model.refstar.picture_decoder import PictureDecoder


class NafBackbone(nn.Module):
    """S = input + decoded residual; a new one returns the input."""

    def __init__(self, params: RefStarParams) -> None:
        super().__init__()
        self.encoder = PictureEncoder(params.widths, (*params.encoder_blocks, 0), params.unshuffle)
        self.bottom = naf_blocks(params.widths[2], params.middle_blocks)
        self.decoder = PictureDecoder(params)

    def analyze(self, low_quality: Tensor) -> Grids:
        return self.encoder(low_quality)

    def draw(self, low_quality: Tensor, features: Grids, transfer: Transfer) -> Drawing:
        coarse = self.bottom(transfer.coarse(features.coarse))
        y, residual = self.decoder(coarse, features.middle, features.fine, transfer.middle)
        return Drawing(y, low_quality.float() + residual)

    def losses(self, codes: Tensor | None, truth: Tensor) -> dict[str, Tensor]:
        return {}
