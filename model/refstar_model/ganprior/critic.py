"""The critic that a generator of faces is trained against: StyleGAN2's residual discriminator (arXiv 1912.04958).

It sees whole faces, at 512 through pixels unshuffled by 4, so that two cores can bear it: what halves does so before
its second convolution, and the first grid is 128.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from refstar_model.ganprior.modulation import EqualizedConv
from refstar_model.ganprior.params import CriticParams
from refstar_model.layers.leaky import activate
from refstar_model.layers.pyramid import down

_GROUP = 4  # faces whose spread is measured together


class Halving(nn.Module):
    """[N, C, h, w] to [N, D, h/2, w/2], residual."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.first = EqualizedConv(channels, channels, 3)
        self.second = EqualizedConv(channels, out_channels, 3)
        self.skip = EqualizedConv(channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        # Each leaky ReLU halves the energy; the sum of both branches, over sqrt 2, makes up for one of them.
        return activate(self.second(down(activate(self.first(x))))) + self.skip(down(x))


class Critic(nn.Module):
    """How true faces look: logits [N] for pictures [N, 3, S, S] in 0..1."""

    def __init__(self, params: CriticParams) -> None:
        super().__init__()
        self.unshuffle, widths = params.unshuffle, params.widths
        self.look = EqualizedConv(3 * params.unshuffle**2, widths[0], 3)
        self.halvings = nn.Sequential(*(Halving(a, b) for a, b in pairwise(widths)))
        last = widths[-1]
        self.judge = EqualizedConv(last + 1, last, 3)
        self.whole = EqualizedConv(last * 16, last)
        self.out = EqualizedConv(last, 1)

    def forward(self, pictures: Tensor) -> Tensor:
        x = activate(self.look(F.pixel_unshuffle(pictures * 2 - 1, self.unshuffle)))
        x = self.halvings(x)
        x = activate(self.judge(torch.cat([x, spread(x)], 1)))
        x = activate(self.whole(x.flatten(1)[:, :, None, None]))
        return self.out(x).flatten().float()


def spread(x: Tensor) -> Tensor:
    """How much the faces of a group differ: their mean standard deviation, [N, C, h, w] to [N, 1, h, w].

    Minibatch standard deviation (arXiv 1710.10196, section 3). Groups are of ``_GROUP`` faces, or of all where the
    batch does not divide.
    """
    count = len(x)
    group = _GROUP if count % _GROUP == 0 else count
    y = x.float().reshape(group, count // group, *x.shape[1:])
    deviation = (y.var(0, correction=0) + 1e-8).sqrt().mean((1, 2, 3))
    return deviation.repeat(group)[:, None, None, None].expand(-1, 1, *x.shape[2:]).to(x.dtype)
