"""Training the person gate: ``refstar-model train refstar --part person --init weights.pt --out runs/person``.

First its encoder learns to see in a ruined face what a recognizer sees in the sharp one:

    loss = |f(seen) - w|^2,  w = the recognizer's unit vector of the face before it was degraded, in `person_space`

The best answer to what cannot be known is the mean of what it may be, so f gets shorter the less is seen. Faces are
mixed from several people (`data.mixed_faces`). What it gives still differs between photographs of one person, in ways
of its own: so its vectors enter a space that is measured of themselves. Then the three numbers of the gate are fitted
by logistic regression, to people that the encoder was not taught with.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from refstar_model.data.credits import RECORD, credit_photos, record_training
from refstar_model.data.degradation import degrade, draw_recipe
from refstar_model.data.loading import open_loader
from refstar_model.data.mixed_faces import SIDE, FaceMix, MixedFaces, SeenFaces
from refstar_model.data.photos import PhotoSet
from refstar_model.judges.recognition import Recognizer
from refstar_model.layers.person_gate import PersonEncoder, PersonGate, gate_loss
from refstar_model.layers.precision import autocast
from refstar_model.refstar.person_space import (
    PersonSpace,
    enter_outputs,
    measure_space,
    measure_turn,
    move_outputs,
)
from refstar_model.refstar.weights import load
from refstar_model.training import LoopParams, Loss, Moment, Run, Task, train_network
from refstar_model.training.checkpoint import write_whole
from refstar_model.training.processes import Course


@dataclass(frozen=True)
class PersonTraining:
    loop: LoopParams = field(
        default_factory=lambda: LoopParams(steps=2500, learning_rate=2e-3, average=0.998, sheet_every=0)
    )
    mix: FaceMix = field(default_factory=FaceMix)
    batch: int = 48
    seed: int = 0
    loaders: int = 1  # processes that draw faces
    held_out: int = 40  # people with two photographs, whom only the gate's three numbers are fitted to
    views: int = 12  # degradations of each of their photographs in that fit


def train_person(photos: PhotoSet, recognizer: Recognizer, how: PersonTraining, run: Run) -> Path:
    """Give the net at which ``run`` starts a trained gate; returns the path of the new ``weights.pt``.

    Begins at the gate that the net has, or goes on from the run's folder when it holds a checkpoint. Raises ValueError
    when there is no such net, or it has no gate.
    """
    if run.start is None:
        raise ValueError("a gate is trained for a net: name its weights.pt (--init)")
    net, steps = load(run.start)
    if not net.params.gate:
        raise ValueError(f"the net in {run.start} has no person gate")
    people = photos.split("train")
    held = hold_out_people(people, how.held_out)
    taught = replace(people, photos=tuple(p for p in people.photos if p.person not in held))

    space = enter_space(net.gate.encoder, taught, recognizer)
    weights = net.gate.encoder.state_dict()

    def build(device: torch.device) -> Task[SeenFaces]:
        encoder, judge = PersonEncoder(net.params.of_gate), recognizer.to(device)
        there = PersonSpace(*(x.to(device) for x in space))

        def open_batches(course: Course) -> Iterator[SeenFaces]:
            faces = MixedFaces(taught, how.batch, how.seed, encoder.side, course.start, how.mix)
            return open_loader(faces, how.loaders, device)

        def step(faces: SeenFaces, moment: Moment) -> Loss:
            with autocast(faces.sharp.device):
                with torch.no_grad():
                    wanted = there.enter(judge.embed(_to_floats(faces.sharp)).float())
                got = encoder(_to_floats(faces.seen))
            loss = (got.float() - wanted).square().sum(1).mean()
            return loss, {"person": float(loss.detach())}

        return Task(encoder, open_batches, step, weights=weights)

    loop = train_network(build, how.loop, run, how.seed)
    net.gate.encoder.load_state_dict(loop.average)
    enter_outputs(net.gate.encoder.eval(), measure_outputs(net.gate.encoder, taught))
    fit_sides(net.gate, taught, how)
    fit_gate(net.gate.eval(), people, held, how)
    record = record_training(credit_photos(people), (run.start, run.previous))
    state = {"params": net.params.to_dict(), RECORD: record, "step": steps, "weights": net.state_dict()}
    write_whole(run.weights, state)
    return run.weights


def enter_space(encoder: PersonEncoder, people: PhotoSet, recognizer: Recognizer) -> PersonSpace:
    """The space of these people; the encoder then gives vectors in it."""
    vectors, seen = [], []
    with torch.no_grad():
        for photo in people.photos:
            picture = _to_floats(_stack([people.read(photo.file, SIDE)]))
            vectors.append(recognizer.embed(picture))
            seen.append(encoder(picture))
    space = measure_space(torch.cat(vectors), [photo.person for photo in people.photos])
    move_outputs(encoder, torch.cat(seen), space.enter(torch.cat(vectors)))
    return space


def measure_outputs(encoder: PersonEncoder, people: PhotoSet) -> PersonSpace:
    """The space of these people, as the encoder sees their photographs."""
    with torch.no_grad():
        seen = [encoder(_to_floats(_stack([people.read(photo.file, SIDE)]))) for photo in people.photos]
    return measure_space(torch.cat(seen), [photo.person for photo in people.photos])


def hold_out_people(people: PhotoSet, count: int) -> set[str]:
    """Some of those with two photographs: the same in every run, since one may begin where another ended."""
    paired = sorted({pair.person for pair in people.pairs})
    return set(np.random.default_rng(0).choice(paired, min(count, len(paired)), replace=False).tolist())


def fit_sides(gate: PersonGate, people: PhotoSet, how: PersonTraining) -> None:
    """Set what the gate reads from which side a head is seen by; of photographs as they are and ruined ones."""
    rng = np.random.default_rng(how.seed)
    seen, mirrored, yaw = [], [], []
    for photo in people.photos:
        picture = people.read(photo.file, SIDE)
        ruined = degrade(picture, draw_recipe(rng, how.mix.degradations), rng, size=SIDE)
        both = _to_floats(_stack([picture, ruined]))
        with torch.no_grad():
            seen.append(gate.encoder(both))
            mirrored.append(gate.encoder(both.flip(3)))
        yaw += [photo.yaw] * len(both)
    turn = measure_turn(torch.cat(seen), torch.cat(mirrored), torch.tensor(yaw, dtype=torch.float32))
    gate.turn.data.copy_(turn)


def fit_gate(gate: PersonGate, people: PhotoSet, held: set[str], how: PersonTraining) -> None:
    """Set the gate's three numbers by all pairs of a ruined and of another photograph of the ``held`` people.

    People count alike, however many photographs there are of them: those with most are of one studio, where strangers
    are more alike than elsewhere.
    """
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
            torch.cat([gate.encoder(_to_floats(_stack([p]))) for p in these]) for these in (ruined, pictures)
        )
    names = np.array([p.person for p in shown])
    same = torch.from_numpy(np.repeat(names, how.views)[:, None] == names[None])
    itself = torch.from_numpy(np.repeat(np.arange(len(shown)), how.views)[:, None] == np.arange(len(shown)))
    share = torch.from_numpy(1 / (names[None] == names[:, None]).sum(1)).float()
    weight = share.repeat_interleave(how.views)[:, None] * share
    gate.weigh.data = torch.tensor([10.0, 0.0, -2.0])
    optimizer = torch.optim.LBFGS([gate.weigh], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        logits = gate.compare(own, others.unsqueeze(0).expand(len(own), -1, -1))
        # The little pull to zero is for people so few that a line parts them: their best gate would be infinite.
        loss = gate_loss(logits[~itself], same[~itself], weight[~itself]) + 1e-5 * gate.weigh.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    a, b, c = gate.weigh.tolist()
    print(f"gate: {a:.2f} <f, r> / |r| + {b:.2f} |f|^2 + {c:.2f}")


def _stack(pictures: list[Any]) -> Tensor:
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)


def _to_floats(pictures: Tensor) -> Tensor:
    return (pictures.float() / 255).contiguous(memory_format=torch.channels_last)
