"""System 3 as a system: codec and GAN prior, without references."""

import argparse
from dataclasses import replace
from pathlib import Path

from refstar_model.data.credits import ALL_FACES
from refstar_model.export.card import ModelCard, Ranks
from refstar_model.options.photographs import open_named_photos
from refstar_model.options.restoration import (
    add_restoration_options,
    open_recognizer,
    read_stream,
    spread_out,
    watch_restorer,
)
from refstar_model.options.run import read_loop, read_run
from refstar_model.system import System, Trained

CARD = ModelCard(
    name="ganprior",
    version="0.1.0",
    system="ganprior",
    training_data=ALL_FACES,
    limits=(
        "Trained on photographs of 1,140 people, most of them officials of the US, adult and well lit; no children.",
        "Detail may be invented. Not for identification or evidence.",
        "References are not looked at.",
    ),
    ranks=Ranks(without_references=1),
)


class GanPriorSystem:
    title = "codec and GAN prior, without references"

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        add_restoration_options(parser)
        parser.add_argument(
            "--size", choices=["small", "base"], default="small", help="small is for CPUs, base for GPUs"
        )
        parser.add_argument(
            "--compiled",
            action="store_true",
            help="use torch.compile; for GPUs, as on a CPU it takes longer than it saves",
        )

    def train(self, arguments: argparse.Namespace) -> Path:
        spread_out(arguments)
        from refstar_model.ganprior.export_view import view_network
        from refstar_model.ganprior.params import BASE, SMALL
        from refstar_model.ganprior.training import GanPriorTraining, train

        how = GanPriorTraining(
            network=BASE if arguments.size == "base" else SMALL, compiled=arguments.compiled
        )
        how = replace(how, loop=read_loop(arguments, how.loop), stream=read_stream(arguments, how.stream))
        photos = open_named_photos(arguments)
        watch = watch_restorer(arguments, photos, view_network)
        return train(photos, open_recognizer(arguments), how, read_run(arguments), watch)

    def load(self, weights: Path) -> Trained:
        from refstar_model.export.restoring import TrainedRestorer
        from refstar_model.ganprior.export_view import view_network
        from refstar_model.ganprior.training import load

        net, steps = load(weights)
        return TrainedRestorer(view_network(net), CARD, steps)


SYSTEM: System = GanPriorSystem()
