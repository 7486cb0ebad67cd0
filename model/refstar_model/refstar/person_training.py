"""Training the person gate: ``refstar-model train refstar --part person --init weights.pt --out runs/person``.

First its encoder learns to see in a ruined face what a recognizer sees in the sharp one:

    loss = |f(seen) - v|^2,  v = the recognizer's unit vector of the face before it was degraded

The best answer to what cannot be known is the mean of what it may be, so f gets shorter the less is seen. Faces are
mixed from several people (`data.mixed_faces`). Then the three numbers of the gate are fitted by logistic regression,
to people that the encoder was not taught with.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from refstar_model.data.degradation import degrade, draw_recipe
from refstar_model.data.mixed_faces import SIDE, FaceMix, MixedFaces
from refstar_model.data.photos import PhotoSet
from refstar_model.recognition import Recognizer
from refstar_model.refstar.person_gate import PersonEncoder, PersonGate, gate_loss
from refstar_model.refstar.weights import load
from refstar_model.training import Loop, LoopParams


@dataclass(frozen=True)
class PersonTraining:
    loop: LoopParams = field(
        default_factory=lambda: LoopParams(steps=2500, learning_rate=2e-3, average=0.998, sheet_every=0)
    )
    mix: FaceMix = field(default_factory=FaceMix)
    batch: int = 48
    seed: int = 0
    held_out: int = 40  # people with two photographs, whom only the gate's three numbers are fitted to
    views: int = 12  # degradations of each of their photographs in that fit


def train_person(
    start: Path,
    photos: PhotoSet,
    recognizer: Recognizer,
    how: PersonTraining,
    folder: Path,
    minutes: float = float("inf"),
) -> Path:
    """Give the net in ``start`` (weights.pt) a trained gate; returns the path of the new ``weights.pt``.

    Begins at the gate that the net has, or goes on from ``folder`` when it holds a checkpoint. Raises ValueError when
    the net has no gate.
    """
    net, steps = load(start)
    if not net.params.gate:
        raise ValueError(f"the net in {start} has no person gate")
    people = photos.split("train")
    held = held_out(people, how.held_out)
    taught = replace(people, photos=tuple(p for p in people.photos if p.person not in held))
    torch.manual_seed(how.seed)
    encoder = PersonEncoder(net.params)
    encoder.load_state_dict(net.gate.encoder.state_dict())
    encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    loop = Loop(encoder, how.loop, folder)
    if loop.resume():
        print(f"resuming at step {loop.done} of {how.loop.steps}")
    apart: dict[str, Any] = {"prefetch_factor": 4, "multiprocessing_context": "spawn"}
    faces = MixedFaces(taught, how.batch, how.seed, encoder.side, loop.done, how.mix)
    loader = DataLoader(faces, batch_size=None, num_workers=1, **apart)

    def step(item: object, progress: float) -> tuple[Tensor, dict[str, float]]:
        sharp, seen = (_floats(part) for part in cast(tuple[Tensor, Tensor], item))
        with torch.autocast("cpu", torch.bfloat16):
            with torch.no_grad():
                wanted = recognizer.embed(sharp)
            got = encoder(seen)
        loss = (got.float() - wanted.float()).square().sum(1).mean()
        return loss, {"person": float(loss.detach())}

    loop.run(cast(Iterator[object], iter(loader)), step, minutes)
    encoder.load_state_dict(loop.average)
    net.gate.encoder.load_state_dict(loop.average)
    fit_gate(net.gate.eval(), people, held, how)
    state = {"params": net.params.to_dict(), "step": steps, "weights": net.state_dict()}
    torch.save(state, folder / "weights.pt")
    return folder / "weights.pt"


def held_out(people: PhotoSet, count: int) -> set[str]:
    """Some of those with two photographs: the same in every run, since one may begin where another ended."""
    paired = sorted({pair.person for pair in people.pairs})
    return set(np.random.default_rng(0).choice(paired, min(count, len(paired)), replace=False).tolist())


def fit_gate(gate: PersonGate, people: PhotoSet, held: set[str], how: PersonTraining) -> None:
    """Set the gate's three numbers by all pairs of a ruined and of another photograph of the ``held`` people."""
    shown = [p for p in people.photos if p.person in held]
    pictures = [people.read(p.file, SIDE) for p in shown]
    rng = np.random.default_rng(how.seed)
    ruined = [
        degrade(p, draw_recipe(rng, how.mix.degradations), rng, size=SIDE)
        for p in pictures
        for _ in range(how.views)
    ]
    with torch.no_grad():
        own, others = (
            torch.cat([gate.encoder(_floats(_stacked([p]))) for p in these]) for these in (ruined, pictures)
        )
    names = np.array([p.person for p in shown])
    same = torch.from_numpy(np.repeat(names, how.views)[:, None] == names[None])
    itself = torch.from_numpy(np.repeat(np.arange(len(shown)), how.views)[:, None] == np.arange(len(shown)))
    gate.weigh.data = torch.tensor([10.0, 0.0, -2.0])
    optimizer = torch.optim.LBFGS([gate.weigh], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        logits = gate.compare(own, others.unsqueeze(0).expand(len(own), -1, -1))
        # The little pull to zero is for people so few that a line parts them: their best gate would be infinite.
        loss = gate_loss(logits[~itself], same[~itself]) + 1e-5 * gate.weigh.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    a, b, c = gate.weigh.tolist()
    print(f"gate: {a:.2f} <f, r> / |r| + {b:.2f} |f|^2 + {c:.2f}")


def _stacked(pictures: list[Any]) -> Tensor:
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)


def _floats(pictures: Tensor) -> Tensor:
    return (pictures.float() / 255).contiguous(memory_format=torch.channels_last)
