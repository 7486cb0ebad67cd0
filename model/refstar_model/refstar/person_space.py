"""The space in which people are told apart: what differs between photographs of one person counts less there.

Two photographs of one person differ more the more the head is turned, and a recognizer's vectors of turned heads are
like each other, whoever it is. So its vectors v get the mean of all photographs taken off, and are divided by how they
spread within people (within-class covariance normalization, Hatch et al., Interspeech 2006):

    w = W (v - m),  W = (C + tr(C) / D I)^(-1/2)

with C the covariance [D, D] of a person's photographs around their mean, averaged over people with several. W is scaled
to a mean of 1 on its diagonal.
"""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from refstar_model.layers.person_gate import PersonEncoder

#: Yaw at which a head counts as wholly turned (`data.photos`: that of a three-quarter view), and how far from the front
#: it is then.
_TURNED, _APART = 0.5, 1 / 0.6


class PersonSpace(NamedTuple):
    mean: Tensor  # [D]
    matrix: Tensor  # [D, D], symmetric

    def enter(self, vectors: Tensor) -> Tensor:
        """Vectors [N, D] of the recognizer, as they are in this space."""
        return (vectors - self.mean) @ self.matrix


def measure_space(vectors: Tensor, people: Sequence[str]) -> PersonSpace:
    """Of a recognizer's vectors [N, D] of photographs, and who is on each; only moved where nobody has several."""
    mean, sides = vectors.mean(0), vectors.shape[1]
    spread, several = torch.zeros(sides, sides), 0
    for name in sorted(name for name, count in Counter(people).items() if count > 1):
        own = vectors[[i for i, other in enumerate(people) if other == name]]
        spread, several = spread + torch.cov(own.T), several + 1
    shared = spread.diagonal().mean()
    if not several or shared == 0:
        return PersonSpace(mean, torch.eye(sides))
    values, axes = torch.linalg.eigh(spread / shared + torch.eye(sides))
    matrix = axes @ torch.diag(values.rsqrt()) @ axes.T
    return PersonSpace(mean, matrix / matrix.diagonal().mean())


@torch.no_grad()
def move_outputs(encoder: PersonEncoder, seen: Tensor, wanted: Tensor) -> None:
    """Change the last layer so that vectors ``seen`` [N, D], as the encoder gives them, come nearest to ``wanted``.

    By ridge regression. An encoder that was taught in another space then begins in this one.
    """
    turn = _regress(seen, wanted, 1e-3)
    move = wanted.double().mean(0) - seen.double().mean(0) @ turn
    _change_outputs(encoder, turn, move)


@torch.no_grad()
def enter_outputs(encoder: PersonEncoder, space: PersonSpace) -> None:
    """Change the last layer so that what the encoder gives is in ``space``, which was measured of its outputs."""
    matrix = space.matrix.double()
    _change_outputs(encoder, matrix, -space.mean.double() @ matrix)


def measure_turn(seen: Tensor, mirrored: Tensor, yaw: Tensor) -> Tensor:
    """T [D, 2], which reads off vectors how far a head is turned, and to which side (`layers.person_gate`).

    seen and mirrored [N, D]: of photographs and of their mirror images; yaw [N], to whichever side. By ridge
    regression. To which side is what differs most between turned heads and their mirror images. Where none is turned,
    nothing can be read off: T is 0.
    """
    turned = (yaw / _TURNED).clamp(max=1)
    if not (turned >= 0.5).any():
        return torch.zeros(seen.shape[1], 2)
    axis = torch.linalg.svd((seen - mirrored)[turned >= 0.5], full_matrices=False)[2][0]
    side = turned * ((seen - mirrored) @ axis).sign()
    wanted = torch.cat([torch.stack([turned, side], 1), torch.stack([turned, -side], 1)])
    return _APART * _regress(torch.cat([seen, mirrored]), wanted, 1e-2).float()


def _regress(seen: Tensor, wanted: Tensor, ridge: float) -> Tensor:
    """The matrix [D, E] by which vectors [N, D], less their mean, come nearest to ``wanted`` [N, E], less its own."""
    rows = (seen - seen.mean(0)).double()
    # At least a little, for a single photograph, where all rows are zero.
    pull = (ridge * rows.square().sum(0).mean()).clamp(min=1e-12)
    pulled = rows.T @ rows + pull * torch.eye(rows.shape[1], dtype=torch.double)
    return torch.linalg.solve(pulled, rows.T @ (wanted - wanted.mean(0)).double())


def _change_outputs(encoder: PersonEncoder, turn: Tensor, move: Tensor) -> None:
    """Vectors v [N, D] become v turn + move."""
    out: nn.Conv2d = encoder.out
    assert out.bias is not None
    out.weight.copy_(torch.einsum("ab,acij->bcij", turn, out.weight.double()))
    out.bias.copy_(out.bias.double() @ turn + move)
