"""Training RefSTAR: ``refstar-model train refstar --data FOLDER --recognizer mobileface_v3.onnx --out runs/refstar``.

docs/training.md has the losses' reasons, what a step costs and where its time goes.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F

from refstar_model.backbone import Drawing
from refstar_model.data.batch import Batch
from refstar_model.data.credits import RECORD, credit_photos, record_training
from refstar_model.data.lookalikes import find_lookalikes
from refstar_model.data.photos import PhotoSet
from refstar_model.data.selection_masks import SelectionLabels
from refstar_model.data.stream import StreamParams, open_stream
from refstar_model.judges.recognition import Recognizer
from refstar_model.layers.alignment import alignment_loss
from refstar_model.layers.color import without_color
from refstar_model.layers.precision import autocast
from refstar_model.layers.pyramid import down
from refstar_model.losses.adversary import Adversary, DiscriminatorParams
from refstar_model.losses.balance import balance_loss
from refstar_model.losses.perception import Vgg
from refstar_model.ranks import read_rank
from refstar_model.refstar.cycle import cycle_loss
from refstar_model.refstar.losses import LossWeights, restoration_loss, self_stream_loss
from refstar_model.refstar.network import SMALL, RefStar, RefStarParams
from refstar_model.refstar.target import Target
from refstar_model.refstar.weights import find_first_weights
from refstar_model.refstar.weights import load as load
from refstar_model.training import LoopParams, Loss, Moment, Run, Task, Watch, fade, train_network
from refstar_model.training.processes import Course


@dataclass(frozen=True)
class RefStarTraining:
    network: RefStarParams = SMALL
    loop: LoopParams = field(default_factory=lambda: LoopParams(judge_every=500))
    stream: StreamParams = field(default_factory=StreamParams)
    losses: LossWeights = field(default_factory=LossWeights)
    identity_from: float = 0.5  # share of the run after which the identity loss fades in
    #: Likewise the discriminator, which has nothing to say of blurred beginnings.
    adversarial_from: float = 0.45
    #: Steps; the cycle is a second pass, its weight is scaled up to make up for the steps without.
    cycle_every: int = 4
    discriminator: DiscriminatorParams = field(default_factory=DiscriminatorParams)
    labels: Path | None = None  # masks and points of the photos' pairs (selection_masks.py); else weak labels
    compiled: bool = False  # torch.compile for batches without references, on a GPU
    vgg: Path | None = None  # torchvision's VGG-19 weights, for the loss of that name
    self_stream: Path | None = None  # system 3's weights: the backbone, which is not trained


def train(
    photos: PhotoSet,
    recognizer: Recognizer | None,
    how: RefStarTraining,
    run: Run,
    watch: Watch | None = None,
) -> Path:
    """Train on the photos' ``train`` people; returns the path of the averaged weights (``weights.pt``).

    ``recognizer`` gives the identity loss, the perceptual one and the look-alikes; without one all are off. Sheets,
    where ``watch`` draws none, show the first batch of the call with references: input | self stream | result | first
    reference | truth. For what is refused see `open_stream`.
    """

    def build(device: torch.device) -> Task[Batch]:
        return _build_task(photos.split("train"), recognizer, how, run, device)

    return train_network(build, how.loop, run, how.stream.seed, watch).write(run.weights)


def _build_task(
    people: PhotoSet,
    recognizer: Recognizer | None,
    how: RefStarTraining,
    run: Run,
    device: torch.device,
) -> Task[Batch]:
    module = RefStar(how.network)
    critics = Critics(
        recognizer.to(device) if recognizer is not None else None,
        Vgg(how.vgg).to(device) if how.vgg is not None and how.losses.vgg else None,
        Adversary(how.discriminator) if how.losses.adversarial or how.losses.matching else None,
    )
    alone = torch.compile(module.alone, dynamic=False) if how.compiled else module.alone
    shown: dict[bool, Batch] = {}  # the first batch without references, and the first with some

    def open_batches(course: Course) -> Iterator[Batch]:
        alike = {}
        if critics.recognizer is not None:
            if read_rank() == 0:
                print(f"looking for look-alikes among {len(people.photos):,} photographs", flush=True)
            alike = find_lookalikes(people, critics.recognizer)
        labels = SelectionLabels.load(how.labels) if how.labels is not None else None
        return open_stream(people, how.stream, course, device, alike, labels, how.network.reach * 512)

    def step(batch: Batch, moment: Moment) -> Loss:
        shown.setdefault(not batch.alone, batch)
        adversarial = fade(moment.progress, how.adversarial_from)
        if batch.alone and how.self_stream is None:  # of a fixed self stream it would teach nothing at all
            return alone_step(alone, module, batch, how.losses, critics, adversarial)
        return training_step(
            module,
            batch,
            how.losses,
            critics.recognizer,
            fade(moment.progress, how.identity_from),
            critics,
            adversarial,
            how.cycle_every if moment.done % how.cycle_every == 0 else 0,
        )

    record = record_training(
        credit_photos(people, how.stream.mix.weights), (run.start, how.self_stream, run.previous)
    )
    weights = find_first_weights(how.network, run.start, how.self_stream)
    # The gate says who it is, and learns that from people (person_training.py). From pictures it learns to be shut:
    # within 160 steps all masks were zero, since what nobody takes is never wrong.
    frozen = ("gate.",) if how.self_stream is None else ("gate.", "backbone.")
    for name, value in module.named_parameters():
        value.requires_grad_(not name.startswith(frozen))
    return Task(
        module,
        open_batches,
        step,
        {"params": how.network.to_dict(), RECORD: record},
        critics.adversary,
        weights=weights,
        show=lambda net: draw_sheet(cast(RefStar, net), shown[max(shown)]),
    )


@dataclass(frozen=True)
class Critics:
    """The networks that judge a result, as far as they are there."""

    recognizer: Recognizer | None = None
    vgg: Vgg | None = None
    adversary: Adversary | None = None


def training_step(
    module: RefStar,
    batch: Batch,
    losses: LossWeights,
    recognizer: Recognizer | None,
    identity_share: float,
    critics: Critics | None = None,
    adversarial_share: float = 0.0,
    cycle_share: float = 0.0,
) -> Loss:
    """The loss of one batch and its parts. The shares scale what is faded in, or asked only now and then."""
    critics = critics or Critics(recognizer)
    truth, references, low_quality, skip = _pictures(batch)
    weight = batch.present.float()
    with autocast(truth.device):
        features = module.encode(references)
        result = module(low_quality, references, features, weight, batch.fidelity, skip)
    aligned = references if result.aligned is None else result.aligned
    seen = aligned
    for _ in range(skip):
        seen = down(seen.flatten(0, 1)).unflatten(0, seen.shape[:2])
    result = result._replace(
        self_stream=without_color(result.self_stream, batch.colorless),
        restored=without_color(result.restored, batch.colorless),
    )
    truth = without_color(truth, batch.colorless)
    target = Target(truth, batch.present, batch.right, batch.fidelity, batch.labels, batch.confidence)
    total, parts = restoration_loss(result, target, seen, losses, recognizer, identity_share, critics.vgg)
    fakes = [picture for picture in (result.self_stream, result.restored) if picture.requires_grad]
    total = total + adversarial_terms(
        critics.adversary, fakes, truth, losses, adversarial_share, total, parts
    )
    for name, term in module.backbone.losses(result.codes, truth).items():
        total = total + term
        parts[name] = float(term.detach())
    if result.displacement is not None and batch.truth_points is not None:
        assert batch.reference_points is not None
        assert batch.points_known is not None
        moved = losses.alignment * alignment_loss(
            result.displacement, batch.truth_points, batch.reference_points, batch.points_known
        )
        total = total + moved
        parts["alignment"] = float(moved.detach())
    if losses.cycle and cycle_share > 0:
        again = cycle_loss(module, result, aligned, batch.right, batch.fidelity, skip)
        total = total + cycle_share * losses.cycle * again
        parts["cycle"] = cycle_share * losses.cycle * float(again.detach())
    return total, parts


def alone_step(
    alone: Callable[[Tensor], Drawing],
    module: RefStar,
    batch: Batch,
    losses: LossWeights,
    critics: Critics,
    adversarial_share: float = 0.0,
) -> Loss:
    """As `training_step`, for a batch without any reference, in half the time.

    ``alone`` is the module's method, or that compiled.
    """
    truth, _, low_quality, skip = _pictures(batch)
    with autocast(truth.device):
        drawing = alone(low_quality)
    picture = drawing.picture
    for _ in range(skip):
        picture = down(picture)
    picture, truth = (without_color(p, batch.colorless) for p in (picture, truth))
    total, parts = self_stream_loss(picture, truth, losses, critics.recognizer, critics.vgg)
    total = total + adversarial_terms(
        critics.adversary, [picture], truth, losses, adversarial_share, total, parts
    )
    for name, term in module.backbone.losses(drawing.codes, truth).items():
        total = total + term
        parts[name] = float(term.detach())
    return total, parts


def adversarial_terms(
    adversary: Adversary | None,
    fakes: list[Tensor],
    truth: Tensor,
    losses: LossWeights,
    share: float,
    others: Tensor,
    parts: dict[str, float],
) -> Tensor:
    """The discriminator's terms for pictures [B, 3, T, T]; they are written down in ``parts``.

    ``others``: the sum of all terms without it, which the pictures' pull is measured by.
    """
    total = torch.zeros((), device=truth.device)
    if adversary is None or share <= 0:
        return total
    fooled, apart = adversary.judge(fakes, truth, matched=losses.matching > 0)
    terms = {"adversarial": balance_loss(fooled, others, fakes, share * losses.adversarial)}
    if apart is not None:
        terms["matching"] = share * losses.matching * apart
    for name, term in terms.items():
        total = total + term
        parts[name] = float(term.detach())
    return total


def draw_sheet(module: RefStar, batch: Batch, rows: int = 4) -> Tensor:
    """Input | self stream | result | first reference | truth of up to ``rows`` faces; [3, h, w] in 0..1."""
    truth, references, low_quality, skip = _pictures(batch)
    features = module.encode(references)
    result = module(low_quality, references, features, batch.present.float(), batch.fidelity, skip)
    columns = [low_quality, result.self_stream, result.restored, references[:, 0], truth]
    smaller = [F.adaptive_avg_pool2d(c[:rows].float(), min(256, c.shape[-1])) for c in columns]
    return torch.cat([torch.cat(list(c), 1) for c in smaller], 2).clamp(0, 1)


def _pictures(batch: Batch) -> tuple[Tensor, Tensor, Tensor, int]:
    """truth, references, low_quality in 0..1, and how many bands finer than the truth they are."""
    low_quality = (batch.low_quality.float() / 255).contiguous(memory_format=torch.channels_last)
    skip = (low_quality.shape[-1] // batch.truth.shape[-1]).bit_length() - 1
    return batch.truth.float() / 255, batch.references.float() / 255, low_quality, skip
