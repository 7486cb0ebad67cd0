"""Training system 3: ``refstar-model train ganprior --out runs/ganprior --processes 2``.

Codec and generator learn together from degraded and from good faces; a quarter of the inputs is as good as untouched,
so that what comes in good goes out unchanged. The discriminator joins in the middle, never without the losses on
pattern and hatching beside it: on its own it teaches both.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from refstar_model.backbone import Drawing
from refstar_model.data.batch import Batch
from refstar_model.data.credits import RECORD, credit_photos, record_training
from refstar_model.data.photos import PhotoSet
from refstar_model.data.plan import TOGETHER, Curriculum, SampleMix
from refstar_model.data.stream import StreamParams, open_stream
from refstar_model.data.turning import Relief
from refstar_model.ganprior.first_colors import fit_colors
from refstar_model.ganprior.network import GanPrior
from refstar_model.ganprior.params import SMALL, GanPriorParams
from refstar_model.ganprior.weights import find_first_weights
from refstar_model.ganprior.window import Window
from refstar_model.judges.recognition import Recognizer
from refstar_model.layers.color import without_color
from refstar_model.layers.precision import autocast
from refstar_model.layers.pyramid import halve_to
from refstar_model.losses.adversary import Adversary, DiscriminatorParams
from refstar_model.losses.balance import balance_loss
from refstar_model.losses.hatching import hatching_loss
from refstar_model.losses.identity import identity_distance
from refstar_model.losses.pattern import pattern_loss
from refstar_model.losses.pixels import pixel_loss
from refstar_model.losses.structure import sharpness_loss
from refstar_model.training import LoopParams, Loss, Moment, Run, Task, Watch, fade, train_network
from refstar_model.training.processes import Course


@dataclass(frozen=True)
class LossWeights:
    """Of the picture's losses; the sketch's is the network's own (`GanPrior.losses`)."""

    gradient: float = 0.5  # in the pixel loss
    pattern: float = 1.0
    hatching: float = 0.1
    agreement: float = 0.1  # of twins: the paper's self-supervised strategy, with untouched inputs
    sharpness: float = 0.1  # from `adversarial_from` on, like all that sharpens
    adversarial: float = 0.5  # how strong its gradient at the picture is, compared with that of the pixels
    identity: float = (
        0.0  # one recognizer's likes are soon painted: judge by another family before turning it up
    )


#: 256,000 faces, eight a step of two processes. At 512 pixels a run blew up when its rate rose past 1.2e-3: codes and
#: bending outran the prior, the sketch's loss went from 0.02 to 20 within 30 steps.
LOOP = LoopParams(
    steps=32_000, learning_rate=8e-4, warmup=500, average=0.999, judge_every=1000, sheet_every=1000
)
STREAM = StreamParams(mix=SampleMix(alone=1.0, full_size=0.5), curriculum=Curriculum(ruined=0.05))


@dataclass(frozen=True)
class GanPriorTraining:
    network: GanPriorParams = SMALL
    loop: LoopParams = field(default_factory=lambda: LOOP)
    stream: StreamParams = field(default_factory=lambda: STREAM)
    losses: LossWeights = field(default_factory=LossWeights)
    adversarial_from: float = 0.5  # share of the run
    windowed: float = 0.75  # share of the steps that draw a window of half the side; not with ``compiled``
    discriminator: DiscriminatorParams = field(default_factory=DiscriminatorParams)
    prior: Path | None = None  # weights.pt of the generator by itself, for a run that begins from nothing
    whole: GanPriorParams | None = (
        None  # of an ablation, the network that a run begins with and leaves parts out of
    )
    compiled: bool = False

    def go_on(self) -> "GanPriorTraining":
        """For a run that begins at trained weights: beginnings are behind it, so that all acts from the first step."""
        loop = replace(self.loop, warmup=min(self.loop.warmup, 200))
        stream = replace(self.stream, curriculum=replace(self.stream.curriculum, ruined=0.0))
        return replace(self, loop=loop, stream=stream, adversarial_from=0.0)


def train(
    photos: PhotoSet,
    recognizer: Recognizer | None,
    how: GanPriorTraining,
    run: Run,
    watch: Watch | None = None,
    reliefs: Mapping[str, Relief] | None = None,
) -> Path:
    """Train on the photos' ``train`` people; returns the path of the averaged weights (``weights.pt``).

    Without a ``recognizer`` there is no identity loss. ``reliefs`` are those of the photographs that may be turned,
    where the mix turns any.
    """

    def build(device: torch.device) -> Task[Batch]:
        module = GanPrior(how.network)
        adversary = Adversary(how.discriminator) if how.losses.adversarial else None
        judge = recognizer.to(device) if recognizer is not None and how.losses.identity else None
        draw = torch.compile(module, dynamic=False) if how.compiled else module

        def open_batches(course: Course) -> Iterator[Batch]:
            return open_stream(photos.split("train"), how.stream, course, device, reliefs=reliefs)

        def step(batch: Batch, moment: Moment) -> Loss:
            sharpening = fade(moment.progress, how.adversarial_from)
            window = None if how.compiled else draw_window(how, moment.done)
            return training_step(draw, module, batch, how.losses, adversary, judge, sharpening, window)

        weights = None if run.begun else find_first_weights(module, run.start, how.prior, how.whole)
        if weights is not None and run.start is not None and run.start.is_dir():
            weights = fit_colors(weights, GanPrior(how.network), photos.split("train"))
        given = credit_photos(photos.split("train"), how.stream.mix.weights)
        record = record_training(given, (run.start, how.prior, run.previous))
        about = {"params": how.network.to_dict(), RECORD: record}
        return Task(module, open_batches, step, about, adversary, weights=weights)

    return train_network(build, how.loop, run, how.stream.seed, watch).write(run.weights)


def training_step(
    draw: Callable[..., Drawing],
    module: GanPrior,
    batch: Batch,
    losses: LossWeights,
    adversary: Adversary | None = None,
    recognizer: Recognizer | None = None,
    sharpening: float = 0.0,
    window: Window | None = None,
) -> Loss:
    """The loss of one batch and its parts; ``draw`` is the module, or that compiled.

    ``sharpening`` 0..1 fades in what asks for detail: discriminator, sharpness and identity (the last of whole faces
    only). With a ``window`` the picture is drawn and judged there; the sketch always of the whole face.
    """
    low_quality = (batch.low_quality.float() / 255).contiguous(memory_format=torch.channels_last)
    truth = batch.truth.float() / 255
    truth = without_color(truth, batch.colorless)
    with autocast(truth.device):
        drawing = draw(low_quality) if window is None else draw(low_quality, window)
    terms: dict[str, Tensor] = {}
    if drawing.codes is not None:
        terms |= module.losses(without_color(drawing.codes, batch.colorless), truth)
    if batch.twins and losses.agreement and drawing.style is not None:
        terms["agreement"] = losses.agreement * agreement_loss(drawing.style)
    if window is not None:
        truth = window.select(truth)
    picture = without_color(halve_to(drawing.picture, truth.shape[-1]), batch.colorless)
    terms |= {
        "pixels": pixel_loss(picture, truth, losses.gradient).mean(),
        "pattern": losses.pattern * pattern_loss(picture, truth).mean(),
        "hatching": losses.hatching * hatching_loss(picture, truth).mean(),
    }
    if sharpening > 0:
        if losses.sharpness:
            terms["sharpness"] = sharpening * losses.sharpness * sharpness_loss(picture, truth).mean()
        if adversary is not None:
            fooled, _ = adversary.judge([picture], truth, matched=False)
            share = sharpening * losses.adversarial
            terms["adversarial"] = balance_loss(fooled, terms["pixels"], [picture], share)
        if recognizer is not None and window is None:
            distance = identity_distance(recognizer, picture, truth).mean()
            terms["identity"] = sharpening * losses.identity * distance
    total = torch.stack(list(terms.values())).sum()
    return total, {name: float(value.detach()) for name, value in terms.items()}


def draw_window(how: GanPriorTraining, step: int) -> Window | None:
    """Where a step draws, None for the whole face: the same in all processes, whole faces ``TOGETHER`` in a row."""
    kind = np.random.default_rng([how.stream.seed, step // TOGETHER])
    if kind.random() >= how.windowed:
        return None
    grid, side = how.network.grid, how.network.grid // 2
    place = np.random.default_rng([how.stream.seed, step, side])
    top, left = (int(at) for at in place.integers(0, grid - side + 1, 2))
    return Window(top, left, side, grid)


def agreement_loss(codes: Tensor) -> Tensor:
    """How far the codes [B, ...] of twins (faces 0 and 1, 2 and 3, ...) are apart: mean |w(a) - w(b)|.

    The self-supervised strategy of arXiv 2205.14377 asks that two degradations of one face give one picture. Codes that
    say nothing would agree as well; all other losses are against that.
    """
    pairs = codes.float().unflatten(0, (-1, 2))
    return (pairs[:, 0] - pairs[:, 1]).abs().mean()
