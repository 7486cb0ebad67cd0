"""The smallest system: one convolution, no references, no knobs. The test of new systems lays it into a folder."""

import argparse
from collections.abc import Iterator
from pathlib import Path

import torch
from refstar_model.data.batch import Batch
from refstar_model.data.plan import SampleMix
from refstar_model.data.stream import StreamParams, open_stream
from refstar_model.export.card import Ranks, SystemCard
from refstar_model.export.restoring import TrainedRestorer
from refstar_model.export.views import view_picture_network
from refstar_model.layers.precision import autocast
from refstar_model.losses.pixels import pixel_loss
from refstar_model.options.photographs import open_named_photos
from refstar_model.options.run import read_loop, read_run
from refstar_model.system import System
from refstar_model.training import LoopParams, Loss, Moment, Task, train_network
from refstar_model.training.processes import Course
from torch import Tensor, nn

SIZE = 512
CARD = SystemCard("toy", ("It does next to nothing.",), ranks=Ranks(None, 1))


class Sharpen(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        nn.init.zeros_(self.conv.weight)

    def forward(self, pictures: Tensor) -> Tensor:
        return pictures + self.conv(pictures)


class ToySystem:
    title = "one convolution"

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--batch", type=int, default=2)

    def train(self, arguments: argparse.Namespace) -> Path:
        photos = open_named_photos(arguments).split("train")

        def build(device: torch.device) -> Task[Batch]:
            net = Sharpen()

            def open_batches(course: Course) -> Iterator[Batch]:
                mix = SampleMix(alone=1.0, full_size=1.0)
                stream = StreamParams(arguments.batch, arguments.seed, mix, loaders=0)
                return open_stream(photos, stream, course, device)

            def step(batch: Batch, moment: Moment) -> Loss:
                with autocast(device):
                    restored = net(batch.low_quality.float() / 255)
                loss = pixel_loss(restored.float(), batch.truth.float() / 255, 0.5).mean()
                return loss, {"pixels": float(loss.detach())}

            return Task(net, open_batches, step)

        loop = read_loop(arguments, LoopParams(learning_rate=1e-2, warmup=1))
        run = read_run(arguments)
        return train_network(build, loop, run, arguments.seed).write(run.weights)

    def load(self, weights: Path) -> TrainedRestorer:
        state = torch.load(weights, weights_only=True, map_location="cpu")
        net = Sharpen()
        net.load_state_dict(state["weights"])
        return TrainedRestorer(view_picture_network(net, SIZE), CARD, int(state["step"]))


SYSTEM: System = ToySystem()
