"""System 3 with drawn weights: what one face costs in onnxruntime, and what a photograph costs in training, by variant.

.venv/bin/python bench/ganprior.py
.venv/bin/python bench/ganprior.py --times 12 --steps 4

Milliseconds of an inference are wall time, graphs in turns. Photographs a second are those of one core by its own
time, so that other work on the machine matters less: forward in bf16, pixel loss, backward and AdamW, four at a time;
no loading. Pre-training is a step of the generator and one of its critic, without R1.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from counting import one_face
from network import medians, session
from refstar_model.export.graph import Graph, export_graph, round_weights
from refstar_model.export.views import EXACT
from refstar_model.ganprior.cost import count_multiplications
from refstar_model.ganprior.critic import Critic
from refstar_model.ganprior.export_view import view_network
from refstar_model.ganprior.generator import Generator
from refstar_model.ganprior.network import GanPrior
from refstar_model.ganprior.params import SMALL, BlockKind, CriticParams
from refstar_model.losses.pixels import pixel_loss
from refstar_service.engine.session import available_cpus
from report import Report, Table, command, parser, publish, this_machine
from torch import nn
from torch.nn import functional as F

VARIANTS = {
    "small": SMALL,
    "NAF blocks": replace(SMALL, block=BlockKind.NAF),
    "no attention": replace(SMALL, attention_layers=0),
    "finest grid 128": replace(SMALL, prior_widths=SMALL.prior_widths[:-1]),
}
BATCH = 4


def written(net: GanPrior, path: Path) -> Path:
    round_weights(net)
    side = net.params.size
    view = view_network(net.eval()).restore
    inputs = {"low_quality": torch.randint(0, 256, (2, side, side, 3), dtype=torch.uint8)}
    export_graph(Graph("restore", view.module, inputs, view.outputs, check_only=(EXACT,)), path)
    return path


def rate(step: Callable[[], None], steps: int) -> float:
    """Photographs a second of one core's time; the first step is not counted."""
    spent = []
    for _ in range(steps + 1):
        began = time.process_time()
        step()
        spent.append(time.process_time() - began)
    return BATCH / float(np.median(spent[1:]))


def restoring(net: GanPrior) -> Callable[[], None]:
    net = net.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(net.parameters(), 1e-4)
    faces, truth = (torch.rand(BATCH, 3, net.params.size, net.params.size) for _ in range(2))
    faces = faces.contiguous(memory_format=torch.channels_last)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16):
            drawing = net(faces)
        loss = pixel_loss(drawing.picture, truth, 0.5).mean() + net.losses(drawing.codes, truth)["sketch"]
        learn(optimizer, loss)

    return step


def pretraining() -> Callable[[], None]:
    generator, critic = Generator(SMALL), Critic(CriticParams())
    modules: list[nn.Module] = [generator, critic]
    for module in modules:
        module.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    optimizers = [torch.optim.Adam(module.parameters(), 1e-4, (0.0, 0.99)) for module in modules]
    real = torch.rand(BATCH, 3, SMALL.size, SMALL.size)

    def step() -> None:
        critic.requires_grad_(False)
        with torch.autocast("cpu", torch.bfloat16):
            fake = generator.sample(torch.randn(BATCH, SMALL.style))
            verdict = critic(fake)
        learn(optimizers[0], F.softplus(-verdict).mean())
        critic.requires_grad_(True)
        with torch.autocast("cpu", torch.bfloat16):
            on_fake, on_real = critic(fake.detach()), critic(real)
        learn(optimizers[1], (F.softplus(on_fake) + F.softplus(-on_real)).mean())

    return step


def learn(optimizer: torch.optim.Optimizer, loss: torch.Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--times", type=int, default=20, help="inferences")
    made.add_argument("--steps", type=int, default=6, help="steps of training")
    options: argparse.Namespace = made.parse_args()
    machine = this_machine()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    cores = available_cpus()
    nets = {name: GanPrior(params) for name, params in VARIANTS.items()}
    costs = {
        name: count_multiplications(net.eval(), torch.zeros(1, 3, net.params.size, net.params.size))
        for name, net in nets.items()
    }
    with tempfile.TemporaryDirectory() as folder:
        paths = {
            name: written(net, Path(folder) / f"{number}.onnx")
            for number, (name, net) in enumerate(nets.items())
        }
        times = {}
        for threads in sorted({1, cores}):
            sessions = {name: session(str(path), threads) for name, path in paths.items()}
            times[threads] = medians({n: (one, one_face(one)) for n, one in sessions.items()}, options.times)
    columns = (
        "network",
        "parameters, 10^6",
        "multiplications, 10^9",
        "one core, ms",
        f"{cores} cores, ms",
        "photographs a second and core in training",
    )
    rows = [
        (
            name,
            sum(p.numel() for p in net.parameters()) / 1e6,
            costs[name] / 1e9,
            times[1][name],
            times[cores][name],
            rate(restoring(net), options.steps),
        )
        for name, net in nets.items()
    ]
    pretrained = (
        "generator with its critic, photographs a second and core",
        rate(pretraining(), options.steps),
    )
    tables = (
        Table("ganprior", columns, tuple(rows)),
        Table("ganprior-pretraining", ("pre-training", ""), (pretrained,)),
    )
    publish(Report(command("ganprior", options, made), tables), machine, options)


if __name__ == "__main__":
    main()
