"""Carrying the heads over to another self stream: ``train refstar --part heads --self-stream W --init T --out OUT``.

Selection and alignment look at features of the backbone. Around another one they see features that they do not know,
and trained by pictures from there, the masks close before they know them. So they first learn to answer around the new
backbone as they did around their own, sample by sample:

    loss = KL(sigmoid(t) || sigmoid(z)) + huber(100 d, 100 d')

over bands and places of the references that are there, where z and t are the logits of trust, d and d' the control
points' displacements in widths, of the new network and of the old one. No picture is compared with its truth. What the
new heads look at does not depend on them, so it is computed once and kept: most steps only draw from what was kept.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from refstar_model.data.batch import Batch
from refstar_model.data.credits import RECORD, credit_photos, record_training
from refstar_model.data.lookalikes import find_lookalikes
from refstar_model.data.photos import PhotoSet
from refstar_model.data.plan import SampleMix
from refstar_model.data.stream import StreamParams, open_stream
from refstar_model.judges.recognition import Recognizer
from refstar_model.layers.precision import autocast
from refstar_model.refstar.network import Comparison, RefStar, RefStarParams
from refstar_model.refstar.selection import SelectionHead
from refstar_model.refstar.weights import find_first_weights, load_first_net
from refstar_model.training import LoopParams, Loss, Moment, Run, Task, Watch, train_network
from refstar_model.training.processes import Course

#: What learns: all that looks at features of the backbone, or decides by them.
HEADS = ("selection.mix.", "selection.evidence.", "selection.middle.", "selection.out.", "selection.position")
ALIGNMENT = "alignment."


@dataclass(frozen=True)
class HeadTraining:
    network: RefStarParams
    self_stream: Path  # system 3's weights or model folder: the backbone
    loop: LoopParams = field(
        default_factory=lambda: LoopParams(steps=2000, learning_rate=1e-3, average=0.99, sheet_every=0)
    )
    stream: StreamParams = field(
        default_factory=lambda: StreamParams(mix=SampleMix(alone=0.0, absent=0.0, two_references=0.0))
    )
    replays: int = 7  # steps with kept samples only, after each one with new ones
    replayed: int = 16  # kept samples of a step
    kept: int = 1500  # samples, of 2 MB at full size; the oldest make room


class Lesson(NamedTuple):
    """One face and one reference: what the new heads see of them, and what the old ones answered."""

    looked: Tensor  # [3 C + 1, g, g] and ...
    seen: Tensor  # [2 bands, g, g]: see `SelectionHead.look`
    trust: Tensor  # [bands, g, g], logits
    coarse: Tensor  # [C, g/4, g/4] of the face and ...
    coarse_reference: Tensor  # ... of the reference
    displacement: Tensor  # [2, c, c]; empty where either network has no alignment


def train_heads(
    photos: PhotoSet, recognizer: Recognizer | None, how: HeadTraining, run: Run, watch: Watch | None = None
) -> Path:
    """Teach the heads of ``run.start``, a RefSTAR around any backbone; returns the path of the new ``weights.pt``.

    Everything else is that of ``run.start``, and of the self stream. ``recognizer`` finds look-alikes among the
    strangers. Raises ValueError when there is nobody to learn from, or sizes do not fit.
    """
    start = run.start
    if start is None:
        raise ValueError(
            "the heads learn from those of a trained RefSTAR: name its weights.pt or folder (--init)"
        )
    people = photos.split("train")
    teacher = load_first_net(start, how.network)

    def build(device: torch.device) -> Task[Batch | None]:
        module = RefStar(how.network)
        for name, value in module.named_parameters():
            value.requires_grad_(name.startswith((*HEADS, ALIGNMENT)))
        old = teacher.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        judge = recognizer.to(device) if recognizer is not None else None
        kept: list[Lesson] = []

        def open_batches(course: Course) -> Iterator[Batch | None]:
            alike = find_lookalikes(people, judge) if judge is not None else {}
            for batch in open_stream(people, how.stream, course, device, alike):
                yield batch
                yield from [None] * how.replays

        def step(batch: Batch | None, moment: Moment) -> Loss:
            if batch is not None:
                kept.extend(draw_lessons(module, old, batch))
                del kept[: -how.kept]
            chosen = torch.randint(len(kept), (how.replayed,))
            return teach(module, [kept[i] for i in chosen])

        about = {
            "params": how.network.to_dict(),
            RECORD: record_training(
                credit_photos(people, how.stream.mix.weights), (start, how.self_stream, run.previous)
            ),
        }
        weights = find_first_weights(how.network, start, how.self_stream)
        return Task(module, open_batches, step, about, weights=weights)

    return train_network(build, how.loop, run, how.stream.seed, watch).write(run.weights)


@torch.no_grad()
def draw_lessons(module: RefStar, teacher: RefStar, batch: Batch) -> list[Lesson]:
    """What ``module`` sees of a batch, and ``teacher`` answers, for every reference that is present.

    The new heads see references where the old ones moved them, since that is where they are to move them.
    """
    low_quality = (batch.low_quality.float() / 255).contiguous(memory_format=torch.channels_last)
    references = batch.references.float() / 255
    weight = batch.present.float()
    with autocast(low_quality.device):

        def compare(net: RefStar, displacement: Tensor | None) -> Comparison:
            grids = net.encode(references).grids
            return net.compare(low_quality, references, grids, weight, displacement)

        def look(seen: Comparison, head: SelectionHead) -> tuple[Tensor, Tensor | None]:
            own = seen.drawing.picture
            difference = (own.unsqueeze(1) - seen.pictures).to(seen.drawing.features.dtype)
            return head.look(seen.drawing.features, seen.fine, difference, batch.fidelity, own)

        answered = compare(teacher, None)
        trust = teacher.selection.decide(*look(answered, teacher.selection)).float()
        moved = answered.displacement if module.params.reach else None
        seen = compare(module, moved)
        looked, evidence = look(seen, module.selection)
    assert evidence is not None
    faces = seen.coarse.unsqueeze(1).expand(-1, references.shape[1], -1, -1, -1)
    where = references.new_zeros(*references.shape[:2], 0) if moved is None else moved.float()
    columns = (looked, evidence, trust, *(x.flatten(0, 1) for x in (faces, seen.coarse_references, where)))
    return [
        Lesson(*(column[i].clone() for column in columns)) for i in batch.present.flatten().nonzero()[:, 0]
    ]


def teach(module: RefStar, lessons: list[Lesson]) -> Loss:
    """How far the heads of ``module`` are from the old ones' answers."""
    looked, seen, trust, coarse, references, wanted = (
        torch.stack(column) for column in zip(*lessons, strict=True)
    )
    with autocast(looked.device):
        logits = module.selection.decide(looked, seen).float()
        moved = module.alignment(coarse, references.unsqueeze(1)).squeeze(1) if wanted.numel() else None
    share = torch.sigmoid(trust)
    given, least = (F.binary_cross_entropy_with_logits(x, share) for x in (logits, trust))
    parts = {"mask": given - least}
    if moved is not None:
        parts["alignment"] = F.huber_loss(100 * moved.float(), 100 * wanted)
    total = torch.stack(list(parts.values())).sum()
    return total, {name: float(value.detach()) for name, value in parts.items()}
