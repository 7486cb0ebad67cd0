"""The dictionary of high-quality code words, and what replaces a degraded face's features by them.

First an autoencoder of good photographs learns the words (`dictionary_training`); then they are fixed. A degraded
face's features z are brought to the words' space, and the nearest word takes each one's place. They learn to lie near
the word that the good photograph has there, as in the second stage of CodeFormer (arXiv 2206.11253, section 3.2):

    code = |z - sg(c)|^2 + 0.5 cross-entropy of softmax(-|z - c_i|^2 / 2) against the good photograph's word
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from refstar_model.ented.params import EntedParams
from refstar_model.ented.textures import start_at_zero
from refstar_model.layers.blocks import ChannelNorm, PixelUp, naf_blocks
from refstar_model.layers.leaky import activate, start
from refstar_model.layers.quantizer import QuantizedGrid, Quantizer
from refstar_model.picture_encoder import PictureEncoder

_CROSS_ENTROPY = 0.5
_BLOCKS = (2, 2, 2)  # of the autoencoder's decoder, coarse to fine


class Replaced(NamedTuple):
    latent: Tensor  # [B, C, g, g], of the generator's width on that grid
    codes: Tensor  # [B, code_channels, g, g], z as it was before words took its place


class Dictionary(nn.Module):
    """Words, and the way to them and from them, on the coarse grid."""

    def __init__(self, params: EntedParams) -> None:
        super().__init__()
        coarse, width = params.base.widths[2], params.drawn[2]
        self.to_code = nn.Sequential(
            nn.Conv2d(coarse, params.code_channels, 1), ChannelNorm(params.code_channels)
        )
        self.words = Quantizer(params.codes, params.code_channels)
        self.words.requires_grad_(False)
        self.from_code = nn.Conv2d(params.code_channels, width, 1)
        if params.residual:  # beside features that are there already
            start_at_zero(self.from_code)

    def forward(self, features: Tensor) -> Replaced:
        """features [B, widths[2], g, g] of degraded faces; the gradient goes past the choice of a word."""
        codes = self.to_code(features).float()
        words = self.words.look_up(self.words.nearest(codes))
        if self.training:
            words = codes + (words - codes).detach()
        return Replaced(self.from_code(words.to(features.dtype)), codes)

    def code_loss(self, codes: Tensor, wanted: Tensor) -> Tensor:
        """How far degraded faces' ``codes`` [B, D, g, g] are from the words with indices ``wanted`` [B, g, g]."""
        words = self.words.codes
        distance = F.mse_loss(codes, self.words.look_up(wanted).to(codes.dtype))
        # |z - c|^2 / 2 without |z|^2 / 2, which is the same for all words.
        logits = F.conv2d(codes, words[:, :, None, None], -words.square().sum(1) / 2)
        return distance + _CROSS_ENTROPY * F.cross_entropy(logits, wanted)


class DictionaryAutoencoder(nn.Module):
    """Good photographs [B, 3, S, S] to words on the coarse grid, and back at a quarter of the size."""

    def __init__(self, params: EntedParams) -> None:
        super().__init__()
        fine, middle, coarse = params.reference_widths
        self.params = params
        self.unshuffle = params.base.unshuffle
        self.encoder = PictureEncoder(
            params.reference_widths, params.reference_blocks, self.unshuffle, start=start, activate=activate
        )
        self.to_code = nn.Sequential(
            nn.Conv2d(coarse, params.code_channels, 1), ChannelNorm(params.code_channels)
        )
        self.words = Quantizer(params.codes, params.code_channels)
        self.from_code = nn.Conv2d(params.code_channels, coarse, 1)
        self.up_middle, self.up_fine = PixelUp(coarse, middle), PixelUp(middle, fine)
        self.draw_coarse, self.draw_middle, self.draw_fine = (
            naf_blocks(width, count)
            for width, count in zip(reversed(params.reference_widths), _BLOCKS, strict=True)
        )
        self.to_picture = nn.Conv2d(fine, 3 * (self.unshuffle // 4) ** 2, 3, padding=1)

    def quantize(self, pictures: Tensor) -> QuantizedGrid:
        """pictures [B, 3, S, S] in 0..1."""
        quantized: QuantizedGrid = self.words(self.look(pictures))
        return quantized

    def look(self, pictures: Tensor) -> Tensor:
        """Features [B, code_channels, g, g] before words take their place."""
        features: Tensor = self.to_code(self.encoder(pictures).coarse)
        return features

    def draw(self, codes: Tensor) -> Tensor:
        """Words [B, code_channels, g, g] to pictures [B, 3, S / 4, S / 4], not clamped."""
        x = self.draw_coarse(self.from_code(codes))
        x = self.draw_fine(self.up_fine(self.draw_middle(self.up_middle(x))))
        return 0.5 + F.pixel_shuffle(self.to_picture(x), self.unshuffle // 4).float()


def measure_perplexity(counts: Tensor) -> float:
    """How many words would be in use if all were used alike: exp of the entropy of their shares; ``counts`` [codes]."""
    shares = counts.double() / counts.sum().clamp(min=1)
    return float(torch.exp(-(shares * shares.clamp(min=1e-12).log()).sum()))
