"""From a checked seed to every pair: small nets that learn, from what the comparison sees, what a person decided.

Several nets, each trained without one share of the seed's people; where they disagree the mask is not believed, and
on the people that a net has not seen it can be judged.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from refstar_model.data.face_parts import Map
from refstar_model.data.pair_comparison import CHANNELS

Float = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class SeedMask:
    """One checked pair: what the comparison saw [CHANNELS, g, g], the mask and where it is known [g, g]."""

    person: str
    seen: Float
    take: Map
    known: Map


@dataclass(frozen=True)
class PropagationParams:
    width: int = 24
    steps: int = 250
    batch: int = 12
    learning_rate: float = 4e-3
    folds: int = 4
    seed: int = 0


class PropagationNet(nn.Module):
    """[N, CHANNELS, g, g] to logits [N, g, g]; sees about half a face around each place, and the whole in the mean."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.enter = nn.Conv2d(CHANNELS, width, 1)
        self.near = nn.Conv2d(width, width, 3, padding=1)
        self.wide = nn.Conv2d(width, width, 3, padding=3, dilation=3)
        self.far = nn.Conv2d(width, width, 3, padding=8, dilation=8)
        self.everywhere = nn.Conv2d(width, width, 1)
        self.leave = nn.Conv2d(width, 1, 1)
        self.drop = nn.Dropout2d(0.15)

    def forward(self, seen: Tensor) -> Tensor:
        h = F.gelu(self.enter(self.drop(seen)))
        h = h + F.gelu(self.near(h))
        h = h + F.gelu(self.wide(h))
        h = h + F.gelu(self.far(h)) + self.everywhere(h.mean((2, 3), keepdim=True))
        return self.leave(h)[:, 0]


class Propagation:
    """The nets of all folds together."""

    def __init__(self, nets: Sequence[PropagationNet], people: Sequence[frozenset[str]]) -> None:
        self.nets = [net.eval() for net in nets]
        self.people = people  # whom each net has not seen

    def __call__(self, seen: Float) -> tuple[Map, Map]:
        """Mean and spread of the nets' masks of one pair, both [g, g] in 0..1."""
        masks = np.stack([_mask(net, seen) for net in self.nets])
        return masks.mean(0), masks.std(0)

    def unseen(self, seed: SeedMask) -> Map:
        """The mask by the net that was trained without this person."""
        for net, people in zip(self.nets, self.people, strict=True):
            if seed.person in people:
                return _mask(net, seed.seen)
        raise ValueError(f"{seed.person} was in every net's training: no fair mask")


def propagate(seed: Sequence[SeedMask], how: PropagationParams | None = None) -> Propagation:
    """Train on a checked seed of at least as many people as folds; the same seed gives the same nets."""
    how = how or PropagationParams()
    people = sorted({s.person for s in seed})
    if len(people) < how.folds:
        raise ValueError(f"the seed has {len(people)} people, {how.folds} folds need at least as many")
    nets, left_out = [], []
    for fold in range(how.folds):
        out = frozenset(people[fold :: how.folds])
        nets.append(_fit([s for s in seed if s.person not in out], how, fold))
        left_out.append(out)
    return Propagation(nets, left_out)


def _fit(seed: Sequence[SeedMask], how: PropagationParams, fold: int) -> PropagationNet:
    generator = torch.Generator().manual_seed(1000 * how.seed + fold)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1000 * how.seed + fold)
        net = PropagationNet(how.width).train()
        seen, take, known = (
            torch.from_numpy(np.stack([getattr(s, name) for s in seed])) for name in ("seen", "take", "known")
        )
        optimizer = torch.optim.AdamW(net.parameters(), lr=how.learning_rate, weight_decay=0.02)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, how.learning_rate, how.steps)
        for _ in range(how.steps):
            rows = torch.randint(len(seed), (how.batch,), generator=generator)
            x, y, k = seen[rows], take[rows], known[rows]
            if torch.rand((), generator=generator) < 0.5:
                x, y, k = x.flip(3), y.flip(2), k.flip(2)
            loss = F.binary_cross_entropy_with_logits(net(x), y, reduction="none")
            optimizer.zero_grad()
            ((loss * k).sum() / k.sum().clamp(min=1)).backward()
            optimizer.step()
            schedule.step()
    return net


@torch.no_grad()
def _mask(net: PropagationNet, seen: Float) -> Map:
    return np.asarray(torch.sigmoid(net(torch.from_numpy(seen)[None]))[0].numpy(), np.float32)


def intersection_over_union(mask: Map, take: Map, known: Map) -> float:
    """IoU of two masks cut at 0.5, where it is known; 1 for two empty masks."""
    ours, theirs, where = mask > 0.5, take > 0.5, known > 0.5
    union = ((ours | theirs) & where).sum()
    return float((ours & theirs & where).sum() / union) if union else 1.0
