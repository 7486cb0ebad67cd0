"""Pre-training the prior as a generator of faces: ``refstar-model train ganprior --part prior --out runs/prior``.

What it knows of faces when restoration begins (``train ganprior --prior runs/prior/weights.pt``) is then not learned
from degraded ones. It sees photographs that are sharp at full size, and nothing else.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from refstar_model.data.credits import RECORD, credit_photos, record_training
from refstar_model.data.photo_stream import PhotoStream
from refstar_model.data.photos import PhotoSet, PhotoWeights
from refstar_model.ganprior.face_adversary import FaceAdversary, FaceAdversaryParams
from refstar_model.ganprior.generator import Generator
from refstar_model.ganprior.generator_weights import read_generator
from refstar_model.ganprior.params import SMALL, GanPriorParams
from refstar_model.layers.precision import autocast
from refstar_model.training import LoopParams, Loss, Moment, Run, Task, Watch, train_network
from refstar_model.training.processes import Course

#: StyleGAN2's rates (2e-3 for both, no momentum), which equalized weights allow; its average over 10,000 faces.
LOOP = LoopParams(
    steps=25_000,
    learning_rate=2e-3,
    warmup=100,
    final_rate=0.2,
    weight_decay=0.0,
    momentum=0.0,
    clip=100.0,
    average=0.9995,
    rival_rate=2e-3,
    sheet_every=500,
)


@dataclass(frozen=True)
class PriorTraining:
    network: GanPriorParams = SMALL
    adversary: FaceAdversaryParams = field(default_factory=FaceAdversaryParams)
    loop: LoopParams = field(default_factory=lambda: LOOP)
    weights: PhotoWeights = field(default_factory=PhotoWeights)
    batch: int = 8  # of each process
    seed: int = 0
    mixing: float = 0.9  # share of faces whose finer grids get another's code (arXiv 1812.04948, section 3.1)
    held: bool = False  # photographs in the device's memory


def train_prior(photos: PhotoSet, how: PriorTraining, run: Run, watch: Watch | None = None) -> Path:
    """Train on the photos' ``train`` people; returns the path of the averaged weights (``weights.pt``)."""

    def build(device: torch.device) -> Task[Tensor]:
        generator, adversary = Generator(how.network), FaceAdversary(how.adversary)

        def open_batches(course: Course) -> Iterator[Tensor]:
            train = photos.split("train")
            return iter(
                PhotoStream(
                    train, how.weights, how.network.size, how.batch, how.seed, course, device, how.held
                )
            )

        def step(photographs: Tensor, moment: Moment) -> Loss:
            return take_prior_step(generator, photographs, adversary, how.mixing)

        weights = read_generator(run.start, how.network) if run.start else None
        record = record_training(credit_photos(photos.split("train"), how.weights), (run.start, run.previous))
        about = {"params": how.network.to_dict(), RECORD: record}
        return Task(generator, open_batches, step, about, adversary, weights=weights)

    return train_network(build, how.loop, run, how.seed, watch).write(run.weights)


def take_prior_step(
    generator: Generator, photographs: Tensor, adversary: FaceAdversary, mixing: float = 0.9
) -> Loss:
    """The generator's loss on as many drawn faces as there are ``photographs``, uint8 [B, 3, S, S]."""
    real = photographs.float() / 255
    codes = draw_codes(generator, len(real), mixing)
    with autocast(real.device):
        fake = generator.draw(codes, noisy=True)
    fooled = adversary.judge(fake.float(), real)
    return fooled, {"adversarial": float(fooled.detach())}


def draw_codes(generator: Generator, count: int, mixing: float = 0.0) -> Tensor:
    """W+ codes [count, codes, style]; a share ``mixing`` takes another face's code from some grid on."""
    device = generator.constant.device
    style = generator.mean_code.shape[0]
    first, second = generator.map(torch.randn(2 * count, style, device=device)).chunk(2)
    # Mixed ones change over at 1..codes - 1, the others behind the last code.
    change = torch.randint(1, generator.codes, (count,))
    change = torch.where(torch.rand(count) < mixing, change, generator.codes).to(device)
    index = torch.arange(generator.codes, device=device)
    return torch.where((index < change[:, None])[..., None], first[:, None], second[:, None])
