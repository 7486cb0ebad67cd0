"""Backbone 2: a vector-quantized autoencoder of good faces, whose codes are predicted from the degraded one.

After CodeFormer (arXiv 2206.11253) in outline, with convolutions in place of its transformer: what the decoder draws
comes from a dictionary that was learnt on good faces only. Autoencoder and prediction are trained together.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from refstar_model.backbone import UNAIDED, Drawing, Grids, Transfer
from refstar_model.layers.blocks import ChannelNorm, naf_blocks
from refstar_model.layers.pyramid import double_to, halve_to
from refstar_model.layers.quantizer import Quantizer
from refstar_model.picture_encoder import PictureEncoder
from refstar_model.refstar.params import RefStarParams
from refstar_model.refstar.picture_decoder import PictureDecoder


class VqBackbone(nn.Module):
    """S = decoded codes, plus the degraded face's own finer features, which come in through zero-initialized skips."""

    def __init__(self, params: RefStarParams) -> None:
        super().__init__()
        fine, middle, coarse = params.widths
        blocks = (*params.encoder_blocks, 1)
        self.encoder = PictureEncoder(params.widths, blocks, params.unshuffle)
        self.predict = nn.Sequential(
            naf_blocks(coarse, params.middle_blocks), ChannelNorm(coarse), nn.Conv2d(coarse, params.codes, 1)
        )
        self.truth_encoder = PictureEncoder(params.widths, blocks, params.unshuffle)
        self.to_code = nn.Sequential(
            nn.Conv2d(coarse, params.code_channels, 1), ChannelNorm(params.code_channels)
        )
        self.quantizer = Quantizer(params.codes, params.code_channels)
        self.from_code = nn.Conv2d(params.code_channels, coarse, 1)
        self.decoder = PictureDecoder(params)
        self.skip_middle = nn.Conv2d(middle, middle, 1)
        self.skip_fine = nn.Conv2d(fine, fine, 1)
        for skip in (self.skip_middle, self.skip_fine):
            nn.init.zeros_(skip.weight)
            assert skip.bias is not None
            nn.init.zeros_(skip.bias)

    def analyze(self, low_quality: Tensor) -> Grids:
        return self.encoder(low_quality)

    def draw(self, low_quality: Tensor, features: Grids, transfer: Transfer) -> Drawing:
        logits = self.predict(transfer.coarse(features.coarse))
        codes = self.quantizer.look_up(logits.argmax(1))
        if self.training:
            # The picture's gradient reaches the prediction through the mean code, and the dictionary not at all:
            # else codes of good faces would drift to what degraded ones need.
            soft = self.quantizer.average(logits)
            codes = soft + (codes - soft).detach()
        y, picture = self.decoder(
            self.from_code(codes),
            self.skip_middle(features.middle),
            self.skip_fine(features.fine),
            transfer.middle,
        )
        return Drawing(y, 0.5 + picture, logits)

    def losses(self, codes: Tensor | None, truth: Tensor) -> dict[str, Tensor]:
        """``autoencoder``: |decoded - truth| + quantizer's loss; ``codes``: 0.5 x cross-entropy of the predicted codes.

        ``codes`` are the logits of the drawing. Truths of half the working size are enlarged for the encoder and
        compared at their own size.
        """
        assert codes is not None
        grid = codes.shape[-1] * 4
        enlarged = double_to(truth, grid * self.decoder.unshuffle)
        code = self.quantizer(self.to_code(self.truth_encoder(enlarged).coarse))
        coarse = self.from_code(code.values)
        nothing = coarse.new_zeros(())
        picture = 0.5 + self.decoder(coarse, nothing, nothing, UNAIDED.middle)[1]
        picture = halve_to(picture, truth.shape[-1])
        return {
            "autoencoder": (picture - truth).abs().mean() + code.loss,
            "codes": 0.5 * F.cross_entropy(codes.float(), code.indices),
        }
