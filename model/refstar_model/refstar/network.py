"""RefSTAR: selection, transfer and reconstruction around a compact restoration backbone.

The degraded face is restored once without trusting anybody (self stream S); then, band by band of a Laplacian
pyramid, the references' own bands R replace those of S wherever the selection mask M allows it:

    out_b = (1 - sum_r M_b,r) S_b + sum_r M_b,r R_b,r        for every band b, plus the low-pass of S

Without a reference M = 0 and out = S exactly. Doing the dual stream in the picture, not only in the features, is
what makes a small network use the reference at all (docs/training.md gives the measurements).
"""

from dataclasses import asdict, dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from refstar_model.layers.blocks import PixelUp, naf_blocks
from refstar_model.layers.pyramid import collapse, down, laplacian, resize_grid
from refstar_model.refstar.selection import SelectionHead
from refstar_model.refstar.transfer import DualStreamCrossAttention, add_up, compete


@dataclass(frozen=True)
class RefStarParams:
    """Everything that fixes the shapes. ``size`` is the side of the aligned face in pixels."""

    size: int = 512
    unshuffle: int = 8
    widths: tuple[int, int, int] = (64, 128, 256)
    encoder_blocks: tuple[int, int] = (1, 2)
    middle_blocks: int = 4
    decoder_blocks: tuple[int, int] = (3, 2)
    reference_blocks: tuple[int, int, int] = (1, 1, 1)
    selection_hidden: int = 64

    @property
    def grid(self) -> int:
        """Side of the widest feature grid; masks live on it."""
        return self.size // self.unshuffle

    @property
    def bands(self) -> int:
        """Laplacian bands down to a low-pass of 8x8."""
        return self.size.bit_length() - 4

    def to_dict(self) -> dict[str, object]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, object]) -> "RefStarParams":
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})  # type: ignore[arg-type]


SMALL = RefStarParams()
#: A net for tests: same code, 64 px, some thousand parameters.
TINY = RefStarParams(64, 4, (8, 8, 16), (1, 1), 1, (1, 1), (1, 1, 1), 8)


class ReferenceFeatures(NamedTuple):
    """What the encoder says of references, fine to coarse; R may be 0-padded where weight is 0."""

    fine: Tensor  # [B, R, widths[0], g, g]
    middle: Tensor  # [B, R, widths[1], g/2, g/2]
    coarse: Tensor  # [B, R, widths[2], g/4, g/4]


class Restoration(NamedTuple):
    restored: Tensor  # [B, 3, H, W], not clamped
    self_stream: Tensor  # [B, 3, H, W], S before the fidelity knob
    trust: Tensor  # [B, R, bands, g, g], logits, each reference judged alone
    masks: Tensor  # [B, R, bands, g, g], in 0..1, what was taken


class ReferenceEncoder(nn.Module):
    def __init__(self, params: RefStarParams) -> None:
        super().__init__()
        fine, middle, coarse = params.widths
        self.unshuffle = params.unshuffle
        self.stem = nn.Conv2d(3 * params.unshuffle**2, fine, 3, padding=1)
        self.fine = naf_blocks(fine, params.reference_blocks[0])
        self.to_middle = nn.Conv2d(fine, middle, 2, stride=2)
        self.middle = naf_blocks(middle, params.reference_blocks[1])
        self.to_coarse = nn.Conv2d(middle, coarse, 2, stride=2)
        self.coarse = naf_blocks(coarse, params.reference_blocks[2])

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """pictures [N, 3, H, W] in 0..1; returns features on the three grids."""
        fine = self.fine(self.stem(F.pixel_unshuffle(pictures * 2 - 1, self.unshuffle)))
        middle = self.middle(self.to_middle(fine))
        return fine, middle, self.coarse(self.to_coarse(middle))


class RefStar(nn.Module):
    def __init__(self, params: RefStarParams = SMALL) -> None:
        super().__init__()
        self.params = params
        fine, middle, coarse = params.widths
        grid = params.grid
        self.reference_encoder = ReferenceEncoder(params)
        self.stem = nn.Conv2d(3 * params.unshuffle**2, fine, 3, padding=1)
        self.encode_fine = naf_blocks(fine, params.encoder_blocks[0])
        self.to_middle = nn.Conv2d(fine, middle, 2, stride=2)
        self.encode_middle = naf_blocks(middle, params.encoder_blocks[1])
        self.to_coarse = nn.Conv2d(middle, coarse, 2, stride=2)
        self.transfer_coarse = DualStreamCrossAttention(
            coarse, grid // 4, 2, 32, 1 / 5, coarse, pool_self=False
        )
        self.coarse = naf_blocks(coarse, params.middle_blocks)
        self.up_middle = PixelUp(coarse, middle)
        # Values also carry the finer grid, folded into channels: the keys need place, the values need detail.
        self.transfer_middle = DualStreamCrossAttention(
            middle, grid // 2, 1, 48, 1 / 16, middle + 4 * fine, pool_self=True
        )
        self.decode_middle = naf_blocks(middle, params.decoder_blocks[1])
        self.up_fine = PixelUp(middle, fine)
        self.decode_fine = naf_blocks(fine, params.decoder_blocks[0])
        self.to_picture = nn.Conv2d(fine, 3 * params.unshuffle**2, 3, padding=1)
        nn.init.zeros_(self.to_picture.weight)
        assert self.to_picture.bias is not None
        nn.init.zeros_(self.to_picture.bias)
        self.selection = SelectionHead(fine, params.selection_hidden, params.bands, params.unshuffle, grid)

    def encode(self, pictures: Tensor) -> ReferenceFeatures:
        """pictures [B, R, 3, H, W] in 0..1."""
        batch, count = pictures.shape[:2]
        return ReferenceFeatures(
            *(f.unflatten(0, (batch, count)) for f in self.reference_encoder(pictures.flatten(0, 1)))
        )

    def _features(self, low_quality: Tensor, features: ReferenceFeatures, weight: Tensor) -> Tensor:
        fine = self.encode_fine(self.stem(F.pixel_unshuffle(low_quality * 2 - 1, self.params.unshuffle)))
        middle = self.encode_middle(self.to_middle(fine))
        coarse = self.to_coarse(middle)
        coarse = self.transfer_coarse(coarse, features.coarse, features.coarse, weight)
        middle = middle + self.up_middle(self.coarse(coarse))
        folded = F.pixel_unshuffle(features.fine.flatten(0, 1), 2).unflatten(0, features.fine.shape[:2])
        value = torch.cat([features.middle, folded], 2)
        middle = self.decode_middle(self.transfer_middle(middle, features.middle, value, weight))
        return self.decode_fine(fine + self.up_fine(middle))

    def forward(
        self,
        low_quality: Tensor,
        pictures: Tensor,
        features: ReferenceFeatures,
        weight: Tensor,
        fidelity: Tensor,
        skip: int = 0,
    ) -> Restoration:
        """Restore faces.

        low_quality [B, 3, H, W] and pictures [B, R, 3, H, W] (the references) in 0..1, R >= 1; weight [B, R] in 0..1,
        0 = absent, scales the masks; fidelity [B] in 0..1, 0.5 = as trained, 1 = nearest to the input, 0 = most
        detail. ``skip`` leaves out that many finest bands: results then have side H / 2^skip (for training on
        pictures that are not sharp at H).
        """
        y = self._features(low_quality, features, weight)
        residual = F.pixel_shuffle(self.to_picture(y), self.params.unshuffle).float()
        low_quality = low_quality.float()
        self_stream = low_quality + residual

        # The selection judges S and the blend uses it, but neither may train it: half-detached blends make S an
        # anti-gradient of R (it destroyed a run within minutes).
        fixed = self_stream.detach() if self.training else self_stream
        difference = fixed.unsqueeze(1) - pictures
        trust = self.selection(y, features.fine, difference.to(y.dtype), fidelity).float()
        masks = compete(torch.sigmoid(trust), weight)

        kept = apply_fidelity(fixed, low_quality, fidelity)
        missing = pictures - kept.unsqueeze(1)
        for _ in range(skip):
            kept, missing = down(kept), down(missing.flatten(0, 1)).unflatten(0, missing.shape[:2])
            self_stream = down(self_stream)
        restored = kept + self._taken(missing, masks, skip)
        return Restoration(restored, self_stream, trust, masks)

    def _taken(self, missing: Tensor, masks: Tensor, skip: int) -> Tensor:
        """sum_r M_b,r (R_b,r - S_b) over all bands; missing is R - S, [B, R, 3, h, w]."""
        batch, count = missing.shape[:2]
        bands = laplacian(missing.flatten(0, 1), self.params.bands - skip)
        flat = masks.flatten(0, 1)
        taken = []
        for index, band in enumerate(bands):
            mask = resize_grid(flat[:, index + skip : index + skip + 1], band.shape[-1])
            taken.append(add_up((mask * band).unflatten(0, (batch, count))))
        return collapse(taken)


def apply_fidelity(restored: Tensor, low_quality: Tensor, fidelity: Tensor) -> Tensor:
    """The fidelity knob on the self stream; all pictures [B, 3, H, W], fidelity [B].

    Above 0.5 up to 40 % of the input is kept, below it the three finest bands are raised by up to 30 %; 0.5 changes
    nothing. (The selection head reads the knob too, and was trained to trade closeness against detail with it.)
    """
    toward_input = (fidelity * 2 - 1).clamp(0, 1).reshape(-1, 1, 1, 1) * 0.4
    toward_detail = (1 - fidelity * 2).clamp(0, 1).reshape(-1, 1, 1, 1) * 0.3
    return (
        restored + toward_input * (low_quality - restored) + toward_detail * collapse(laplacian(restored, 3))
    )
