"""Is this the same person, seen from the same side? Before anybody asks where a reference's detail would fit.

At the severe level a mask cannot tell place by place whether a crisp eye belongs to the face behind the blur; the
whole face, looked at once, can. A small network maps pictures of any quality to where a recognizer would see the sharp
photograph behind them (RefSTAR's `person_training`); what cannot be seen any more makes its vector shorter. References
are encoded once and kept with their other features.

The vectors also say from which side a head is seen. Of a reference from another side little fits, however surely it
shows the person, so it counts a quarter.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from refstar_model.layers.folding import UnshuffledConv, Weights, fix, fold_modules, unfold_weights
from refstar_model.layers.pixels import to_picture

#: Logit of a new gate: open to 0.9975, so that a net that had none keeps its function.
OPEN = 6.0
#: How much a reference from another side counts. More takes from the truth what it gives to the likeness
#: (docs/training.md).
_OTHER_SIDE = 0.25


@dataclass(frozen=True)
class GateParams:
    """``size``: the side of the faces, ``widths``: channels on the grids from 64 down, ``person``: numbers that say who
    somebody is."""

    size: int
    widths: tuple[int, int, int, int]
    person: int


class PersonBlock(nn.Module):
    """Residual block; a new one changes nothing but the sign's slope."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.second.weight)
        self.between, self.after = nn.PReLU(channels), nn.PReLU(channels)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.after(x + self.second(self.between(self.first(x))))
        return out


class PersonEncoder(nn.Module):
    """Faces on the template [N, 3, S, S] in 0..1, of any quality, to vectors [N, D].

    A vector's direction says who it is, its length (0 to about 1) how much of that can be seen. Looks at 128 pixels:
    a face of the severe level has 50.
    """

    blocks = (1, 2, 3, 2)

    def __init__(self, params: GateParams) -> None:
        super().__init__()
        self.side = min(128, params.size)
        widths = params.widths
        layers: list[nn.Module] = [UnshuffledConv(2, widths[0], 3), nn.PReLU(widths[0])]
        for index, (channels, count) in enumerate(zip(widths, self.blocks, strict=True)):
            if index:
                layers.append(nn.Conv2d(widths[index - 1], channels, 2, stride=2))
            layers += [PersonBlock(channels) for _ in range(count)]
        self.layers = nn.Sequential(*layers)
        # Every place keeps weights of its own here: faces are aligned, and an eye is compared with an eye.
        self.whole = nn.Conv2d(widths[-1], 2 * widths[-1], self.side // 16, groups=widths[-1])
        self.out = nn.Conv2d(2 * widths[-1], params.person, 1)

    def forward(self, pictures: Tensor) -> Tensor:
        small = F.avg_pool2d(pictures, pictures.shape[-1] // self.side) * 2 - 1
        out: Tensor = self.out(F.gelu(self.whole(self.layers(small))))
        return out.flatten(1)


class Judgment(NamedTuple):
    """Of each reference, [B, R]: the logit that it shows the person, and how far it does from the same side, 0..1."""

    same: Tensor
    side: Tensor


class PersonGate(nn.Module):
    """Logit per reference that it shows the person of the degraded face, and whether from the same side.

    logit = a <f, r> / |r| + b |f|^2 + c    with f of the degraded face, r of the reference

    A recognizer's threshold, but one that moves with how much can be seen: a ruined face has a short f, and a small
    product says less against a reference.

    side = 1/4 + 3/4 exp(-|(f - r) T|^4)    with T [D, 2], which reads off how far a head is turned, and to which side

    The difference is 1 where one head has turned by six tenths of a three-quarter view; a new gate's T is 0.
    """

    def __init__(self, params: GateParams) -> None:
        super().__init__()
        self.encoder = PersonEncoder(params)
        self.weigh = nn.Parameter(torch.tensor([0.0, 0.0, OPEN]))
        self.turn = nn.Parameter(torch.zeros(params.person, 2))

    def forward(self, low_quality: Tensor, people: Tensor) -> Judgment:
        """low_quality [B, 3, S, S] in 0..1; people [B, R, D], vectors of the references."""
        own = self.encoder(low_quality)
        return Judgment(self.compare(own, people), compare_sides(own, people, self.turn))

    def compare(self, own: Tensor, people: Tensor) -> Tensor:
        """own [B, D], people [B, R, D]; logits [B, R]."""
        return compare_people(own, people, *self.weigh)

    def fold(self) -> "FoldedGate":
        return FoldedGate(self)

    def unfold(self, folded: Weights) -> dict[str, Tensor]:
        """Of a graph that encodes people only, the encoder's."""
        inside = {
            k.removeprefix("encoder."): value for k, value in folded.items() if k.startswith("encoder.")
        }
        found = {f"encoder.{k}": value for k, value in unfold_weights(self.encoder, inside).items()}
        weigh = [folded[name].reshape(()) for name in WEIGHED if name in folded]
        found |= {"weigh": torch.stack(weigh)} if weigh else {}
        return found | ({"turn": folded["turn"]} if "turn" in folded else {})


#: The names of a, b and c where each is a weight of its own.
WEIGHED = ("of_likeness", "of_seen", "of_all")


class FoldedGate(nn.Module):
    """One whose constants have names, for an export."""

    def __init__(self, gate: PersonGate) -> None:
        super().__init__()
        self.encoder = gate.encoder
        fold_modules(self.encoder)
        for name, value in zip(WEIGHED, gate.weigh, strict=True):
            self.register_parameter(name, fix(value))
        self.turn = gate.turn

    def forward(self, low_quality: Tensor, people: Tensor) -> Judgment:
        own = self.encoder(low_quality)
        return Judgment(self.compare(own, people), compare_sides(own, people, self.turn))

    def compare(self, own: Tensor, people: Tensor) -> Tensor:
        return compare_people(own, people, *(getattr(self, name) for name in WEIGHED))


def compare_people(own: Tensor, people: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """`PersonGate`'s logits [B, R] of own [B, D] and people [B, R, D].

    Products of matrices and no sums: the order in which onnxruntime's ReduceSum adds depends on the batch.
    """
    own, people = own.float().unsqueeze(1), people.float()
    likeness = (people @ own.transpose(1, 2)).squeeze(2)
    ones = torch.ones(people.shape[-1], 1, dtype=people.dtype, device=people.device)
    length = (people.square() @ ones).squeeze(2).clamp(min=1e-6).sqrt()
    seen = (own @ own.transpose(1, 2)).squeeze(2)
    return a * likeness / length + b * seen + c


def compare_sides(own: Tensor, people: Tensor, turn: Tensor) -> Tensor:
    """`PersonGate`'s sides [B, R] of own [B, D] and people [B, R, D]; products of matrices as there."""
    apart = (people.float() - own.float().unsqueeze(1)) @ turn.float()
    far = (apart.square() @ torch.ones(2, 1, device=apart.device)).squeeze(2)
    return _OTHER_SIDE + (1 - _OTHER_SIDE) * torch.exp(-far.square())


def apply_gate(weight: Tensor, judgment: Judgment, strength: Tensor | None = None) -> Tensor:
    """The references' weight [B, R] as far as they are believed to show the person, from the same side.

    strength [B] in 0..1 is how much that counts: with 0, every reference has its full weight; 1 is as without it.
    """
    belief = torch.sigmoid(judgment.same.float()) * judgment.side
    if strength is not None:
        share = strength.float().unsqueeze(1)
        belief = 1 - share + share * belief
    return weight * belief.to(weight.dtype)


def judge_references(
    gate: PersonGate | FoldedGate, logits: Tensor, restored: Tensor, people: Tensor, weight: Tensor
) -> tuple[Tensor, Tensor]:
    """What an exported graph says of each reference: ``same_person`` and ``likeness``, each [B, R] in 0..1.

    The first is the probability that it shows the person of the degraded face, by the gate's ``logits`` [B, R]; the
    second is what the gate says of the ``restored`` face, uint8 [B, S, S, 3], in the place of the degraded one. people
    [B, R, D] are the references' vectors. Both are 0 where the weight [B, R] is: there is no reference.
    """
    seen = gate.compare(gate.encoder(to_picture(restored)), people)
    there = weight > 0
    same, like = (torch.where(there, torch.sigmoid(one.float()), 0.0) for one in (logits, seen))
    return same, like


def complete_gate(weights: dict[str, Tensor], prefix: str = "gate.") -> dict[str, Tensor]:
    """A state_dict with the gate's ``turn``, which those of before it lack: of them all sides are the same."""
    bias = weights.get(f"{prefix}encoder.out.bias")
    turn = f"{prefix}turn"
    return weights if bias is None or turn in weights else {**weights, turn: torch.zeros(len(bias), 2)}


def gate_loss(gate: Tensor, right: Tensor, weight: Tensor | None = None) -> Tensor:
    """Binary cross-entropy of logits against who the references are, bool; all of any one shape.

    Right and wrong people weigh the same, however many there are of each: a gate that lets everybody pass must not
    be nearly good. ``weight`` says how much each pair counts among those of its sort.
    """
    loss = F.binary_cross_entropy_with_logits(gate.float(), right.float(), reduction="none")
    if weight is None:
        weight = torch.ones_like(loss)
    parts = [(loss * of).sum() / of.sum().clamp(min=1e-9) for of in (weight * right, weight * ~right)]
    return torch.stack(parts).mean()
