"""Training system 3: ``refstar-model train ganprior --out runs/ganprior --processes 2``.

Codec and generator learn together from degraded and from good faces; a quarter of the inputs is as good as untouched,
so that what comes in good goes out unchanged. The discriminator joins in the middle, never without the pattern loss
beside it: on its own it teaches a lattice.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from refstar_model.backbone import Drawing
from refstar_model.data.batch import Batch
from refstar_model.data.photos import PhotoSet
from refstar_model.data.plan import SampleMix
from refstar_model.data.stream import StreamParams, open_stream
from refstar_model.ganprior.network import GanPrior
from refstar_model.ganprior.params import SMALL, GanPriorParams
from refstar_model.layers.color import without_color
from refstar_model.layers.pyramid import down
from refstar_model.losses.adversary import Adversary, DiscriminatorParams
from refstar_model.losses.identity import identity_distance
from refstar_model.losses.pattern import pattern_loss
from refstar_model.losses.pixels import pixel_loss
from refstar_model.losses.structure import sharpness_loss
from refstar_model.processes import Processes
from refstar_model.recognition import Recognizer
from refstar_model.training import Loop, LoopParams, Watch, fade


@dataclass(frozen=True)
class LossWeights:
    """Of the picture's losses; the sketch's is the network's own (`GanPrior.losses`)."""

    gradient: float = 0.5  # in the pixel loss
    pattern: float = 1.0
    sharpness: float = 0.1  # from `adversarial_from` on, like all that sharpens
    adversarial: float = 0.05
    identity: float = (
        0.0  # one recognizer's likes are soon painted: judge by another family before turning it up
    )


#: 256,000 faces, eight a step of two processes. At 512 pixels a run blew up when its rate rose past 1.2e-3: codes and
#: bending outran the prior, the sketch's loss went from 0.02 to 20 within 30 steps.
LOOP = LoopParams(
    steps=32_000, learning_rate=6e-4, warmup=500, average=0.999, judge_every=1000, sheet_every=1000
)
STREAM = StreamParams(mix=SampleMix(alone=1.0, full_size=0.5))


@dataclass(frozen=True)
class GanPriorTraining:
    network: GanPriorParams = SMALL
    loop: LoopParams = field(default_factory=lambda: LOOP)
    stream: StreamParams = field(default_factory=lambda: STREAM)
    losses: LossWeights = field(default_factory=LossWeights)
    adversarial_from: float = 0.5  # share of the run
    discriminator: DiscriminatorParams = field(default_factory=DiscriminatorParams)
    start: Path | None = None  # weights.pt of another run to begin from, with a fresh schedule
    compiled: bool = False
    device: str | None = None  # cpu or cuda; a GPU where there is one
    travel: Path | None = None  # folder that also gets what can travel of every checkpoint (parcel.py)


def train(
    photos: PhotoSet,
    recognizer: Recognizer | None,
    how: GanPriorTraining,
    folder: Path,
    minutes: float = float("inf"),
    judge: Callable[[nn.Module], dict[str, float]] | None = None,
    show: Callable[[nn.Module], Tensor] | None = None,
) -> Path:
    """Train on the photos' ``train`` people; returns the path of the averaged weights (``weights.pt``).

    Goes on from ``folder`` when it holds a checkpoint or a parcel. ``judge`` and ``show`` look at the averaged net now
    and then. Without a ``recognizer`` there is no identity loss.
    """
    with Processes(how.device) as processes:
        torch.manual_seed(how.stream.seed)
        device = processes.device
        module = GanPrior(how.network).to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        adversary = Adversary(how.discriminator) if how.losses.adversarial else None
        if adversary is not None:
            adversary.module.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        about = {"params": how.network.to_dict()}
        loop = Loop(module, how.loop, folder, adversary, about, processes, how.travel)
        loop.begin(how.stream.seed, read_weights(how.start, how.network) if how.start else None)
        recognizer = recognizer.to(device) if recognizer is not None and how.losses.identity else None
        draw = torch.compile(module, dynamic=False) if how.compiled else module

        def step(item: object, progress: float) -> tuple[Tensor, dict[str, float]]:
            batch = cast(Batch, item).to(device)
            share = fade(progress, how.adversarial_from)
            return training_step(draw, module, batch, how.losses, adversary, recognizer, share)

        stream = open_stream(photos.split("train"), how.stream, loop.course(), device)
        loop.run(stream, step, minutes, Watch(judge, show))
        return loop.write(folder / "weights.pt")


def training_step(
    draw: Callable[[Tensor], Drawing],
    module: GanPrior,
    batch: Batch,
    losses: LossWeights,
    adversary: Adversary | None = None,
    recognizer: Recognizer | None = None,
    sharpening: float = 0.0,
) -> tuple[Tensor, dict[str, float]]:
    """The loss of one batch and its parts; ``draw`` is the module, or that compiled.

    ``sharpening`` 0..1 fades in what asks for detail: discriminator, sharpness and identity.
    """
    low_quality = (batch.low_quality.float() / 255).contiguous(memory_format=torch.channels_last)
    truth = batch.truth.float() / 255
    with torch.autocast(truth.device.type, torch.bfloat16):
        drawing = draw(low_quality)
    picture = drawing.picture
    while picture.shape[-1] > truth.shape[-1]:
        picture = down(picture)
    picture, truth = (without_color(p, batch.colorless) for p in (picture, truth))
    terms = {
        "pixels": pixel_loss(picture, truth, losses.gradient).mean(),
        "pattern": losses.pattern * pattern_loss(picture, truth).mean(),
    }
    if drawing.codes is not None:
        sketch = without_color(drawing.codes, batch.colorless)
        terms |= module.losses(sketch, truth)
    if sharpening > 0:
        if losses.sharpness:
            terms["sharpness"] = sharpening * losses.sharpness * sharpness_loss(picture, truth).mean()
        if adversary is not None:
            fooled, _ = adversary.judge([picture], truth, matched=False)
            terms["adversarial"] = sharpening * losses.adversarial * fooled
        if recognizer is not None:
            distance = identity_distance(recognizer, picture, truth).mean()
            terms["identity"] = sharpening * losses.identity * distance
    total = torch.stack(list(terms.values())).sum()
    return total, {name: float(value.detach()) for name, value in terms.items()}


def read_weights(path: Path, params: GanPriorParams) -> dict[str, Tensor]:
    """The weights of a ``weights.pt``; raises ValueError where they are of another network."""
    state = torch.load(path, weights_only=True, map_location="cpu")
    if GanPriorParams.from_dict(state["params"]) != params:
        raise ValueError(f"{path} holds another network: {state['params']}")
    weights: dict[str, Tensor] = state["weights"]
    return weights


def load(path: Path) -> tuple[GanPrior, int]:
    """The net of a ``weights.pt`` in evaluation mode, and how many steps it was trained for."""
    state = torch.load(path, weights_only=True, map_location="cpu")
    module = GanPrior(GanPriorParams.from_dict(state["params"]))
    module.load_state_dict(state["weights"])
    return module.eval(), int(state["step"])
