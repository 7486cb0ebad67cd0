"""Teaching the reconstruction: ``train refstar --part reconstruction --self-stream W --init T --out OUT``.

All other parts are those of ``T`` and stay as they are: masks that are trained by pictures close, since another
photograph predicts hardly a pixel, and what nobody takes is never wrong. The reconstruction gets what they took, and is
held to the truth as ENTED is (losses.restoration).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from refstar_model.data.batch import Batch
from refstar_model.data.credits import RECORD, credit_photos, record_training
from refstar_model.data.lookalikes import find_lookalikes
from refstar_model.data.photos import PhotoSet
from refstar_model.data.plan import Curriculum, SampleMix
from refstar_model.data.stream import StreamParams, open_stream
from refstar_model.judges.recognition import Recognizer
from refstar_model.layers.color import without_color
from refstar_model.layers.precision import autocast
from refstar_model.layers.pyramid import halve_to
from refstar_model.losses.adversary import Adversary, DiscriminatorParams
from refstar_model.losses.restoration import RestorationWeights, restoration_terms, sharpening_terms
from refstar_model.refstar.network import ReferenceFeatures, RefStar, RefStarParams
from refstar_model.refstar.weights import find_first_weights
from refstar_model.training import LoopParams, Loss, Moment, Run, Task, Watch, fade, train_network
from refstar_model.training.processes import Course

#: What learns.
PART = "reconstruction."


@dataclass(frozen=True)
class ReconstructionTraining:
    network: RefStarParams
    self_stream: Path | None = None  # system 3's weights or model folder, where that is the backbone
    loop: LoopParams = field(
        default_factory=lambda: LoopParams(steps=3000, learning_rate=1e-3, judge_every=500)
    )
    #: Strangers teach nothing, since the gate leaves nothing of what is added; a few, that it is not always open.
    stream: StreamParams = field(
        default_factory=lambda: StreamParams(
            mix=SampleMix(alone=0.0, absent=0.0, wrong=0.05, mirrored=0.4, moved=0.25),
            curriculum=Curriculum(ruined=0.3, itself=0.2),
        )
    )
    losses: RestorationWeights = field(
        default_factory=lambda: RestorationWeights(detail=0.5, adversarial=0.4)
    )
    sharpening_from: float = 0.3  # share of the run
    discriminator: DiscriminatorParams = field(default_factory=DiscriminatorParams)


def train_reconstruction(
    photos: PhotoSet,
    recognizer: Recognizer | None,
    how: ReconstructionTraining,
    run: Run,
    watch: Watch | None = None,
) -> Path:
    """Teach the reconstruction of ``run.start``, a trained RefSTAR; returns the path of the new ``weights.pt``.

    ``recognizer`` gives the perceptual, style and identity losses, and the look-alikes. Raises ValueError where there
    is nothing to start from or to teach, or sizes do not fit.
    """
    start = run.start
    if start is None:
        raise ValueError(
            "the reconstruction is added to a trained RefSTAR: name its weights.pt or folder (--init)"
        )
    if not how.network.reconstruction:
        raise ValueError("the network is to have no reconstruction: there is nothing to teach")
    people = photos.split("train")

    def build(device: torch.device) -> Task[Batch]:
        module = RefStar(how.network)
        for name, value in module.named_parameters():
            value.requires_grad_(name.startswith(PART))
        judge = recognizer.to(device) if recognizer is not None else None
        adversary = Adversary(how.discriminator) if how.losses.adversarial else None

        def open_batches(course: Course) -> Iterator[Batch]:
            alike = find_lookalikes(people, judge) if judge is not None else {}
            return open_stream(people, how.stream, course, device, alike)

        def step(batch: Batch, moment: Moment) -> Loss:
            share = fade(moment.progress, how.sharpening_from)
            return training_step(module, batch, how.losses, judge, adversary, share)

        record = record_training(
            credit_photos(people, how.stream.mix.weights), (start, how.self_stream, run.previous)
        )
        about = {"params": how.network.to_dict(), RECORD: record}
        weights = find_first_weights(how.network, start, how.self_stream)
        return Task(module, open_batches, step, about, adversary, weights=weights)

    return train_network(build, how.loop, run, how.stream.seed, watch).write(run.weights)


def training_step(
    module: RefStar,
    batch: Batch,
    losses: RestorationWeights,
    recognizer: Recognizer | None = None,
    adversary: Adversary | None = None,
    sharpening: float = 0.0,
) -> Loss:
    """The loss of one batch and its parts; ``sharpening`` 0..1 fades in what asks for detail."""
    low_quality = (batch.low_quality.float() / 255).contiguous(memory_format=torch.channels_last)
    references, weight = batch.references.float() / 255, batch.present.float()
    truth = without_color(batch.truth.float() / 255, batch.colorless)
    with autocast(truth.device):
        features: ReferenceFeatures = module.encode(references)
        picture: Tensor = module(low_quality, references, features, weight, batch.fidelity).restored
    picture = without_color(halve_to(picture, truth.shape[-1]), batch.colorless)
    helped = (batch.right & batch.present).any(1)
    grid, fidelity = module.params.grid, batch.fidelity
    terms = restoration_terms(picture, truth, helped, losses, recognizer, grid, fidelity)
    terms |= sharpening_terms(picture, truth, helped, losses, adversary, sharpening)
    total = torch.stack(list(terms.values())).sum()
    return total, {name: float(value.detach()) for name, value in terms.items()}
