"""Latent refinement: the degraded face's codes ask the reference, and the answers become the style codes.

    s   = what the whole latent says                                  [style]
    w_i = base_i(s) + W_o sum_t softmax_t((q(s) + e_i) . k_t / sqrt d) v_t  for every modulated convolution i

With the residual connections this is added to the codes of system 3's codec. k and v are of the places t of all
references' coarse grids. The softmax has one place more, which says nothing, and the values are scaled by the
references' weights: without a reference, w_i = base_i(s) exactly. W_o starts at zero.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from refstar_model.ented.params import EntedParams
from refstar_model.ented.textures import start_at_zero
from refstar_model.ganprior.modulation import EqualizedConv
from refstar_model.layers.leaky import activate, start

_FAR = -30.0  # added to the logits of what is absent


class Asked(NamedTuple):
    """The references, as the style codes ask them."""

    keys: Tensor  # [B, R, style, g g]
    values: Tensor  # [B, R, style, g g]
    weight: Tensor  # [B, R] in 0..1


class Refinement(nn.Module):
    def __init__(self, params: EntedParams) -> None:
        super().__init__()
        width, style, count = params.drawn[2], params.base.style, params.styles
        self.heads, self.count, self.asks = params.heads, count, params.refinement
        # Every place keeps weights of its own: faces are aligned.
        self.whole = start(nn.Conv2d(width, 2 * width, params.grids[2], groups=width))
        self.sum_up = start(nn.Conv2d(2 * width, style, 1))
        self.base = start_at_zero(nn.Conv2d(style, count * style, 1))
        if self.asks:
            self.ask = EqualizedConv(style, style)
            self.asking = nn.Parameter(torch.randn(count, style))
            self.nothing = nn.Parameter(torch.zeros(params.heads, 1, 1))
            self.answer = start_at_zero(nn.Conv2d(style, style, 1, bias=False))

    def forward(self, latent: Tensor, asked: Asked | None) -> Tensor:
        """latent [B, C, g, g], and the references, if there are any; returns style codes [B, styles,
        style]: the generator's, as differences from its mean code, then those of the distributions, fine to coarse."""
        said = activate(self.sum_up(activate(self.whole(latent))))
        codes = self.base(said).flatten(1).unflatten(1, (self.count, -1))
        if not self.asks or asked is None:
            return codes
        queries = self.ask(said).flatten(1).unsqueeze(1) + self.asking
        answers = self._attend(queries.float(), *(x.float() for x in asked))
        answers = self.answer(answers.transpose(1, 2).unsqueeze(3).to(said.dtype)).squeeze(3)
        return codes + answers.transpose(1, 2)

    def _attend(self, queries: Tensor, keys: Tensor, values: Tensor, weight: Tensor) -> Tensor:
        """queries [B, n, style]; returns [B, n, style]."""
        q = queries.unflatten(2, (self.heads, -1)).transpose(1, 2)  # [B, heads, n, d]
        k, v = (self._split_heads(x) for x in (keys, values * weight[:, :, None, None]))
        far = _FAR * (weight <= 0).to(weight.dtype)
        places = far.unsqueeze(2).expand(-1, -1, keys.shape[3]).flatten(1)[:, None, None]
        logits = (q * q.shape[3] ** -0.5) @ k + places
        nothing = self.nothing.expand(logits.shape[0], -1, logits.shape[2], -1)
        shares = torch.softmax(torch.cat([logits, nothing], 3), 3)[..., :-1]
        return (shares @ v.transpose(2, 3)).transpose(1, 2).flatten(2)

    def _split_heads(self, x: Tensor) -> Tensor:
        """[B, R, style, t] to [B, heads, d, R t]."""
        return x.unflatten(2, (self.heads, -1)).permute(0, 2, 3, 1, 4).flatten(3)
