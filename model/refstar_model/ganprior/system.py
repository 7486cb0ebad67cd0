"""System 3 as a system: codec and GAN prior, without references."""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from refstar_model.export.card import Ranks, SystemCard
from refstar_model.ganprior.params import PARTS, BlockKind
from refstar_model.options.photographs import open_named_photos
from refstar_model.options.restoration import (
    add_restoration_options,
    open_recognizer,
    read_stream,
    spread_out,
    watch_restorer,
)
from refstar_model.options.run import read_loop, read_run
from refstar_model.options.teachers import MESH, find_teachers, in_folder
from refstar_model.system import System, TrainedSystem

if TYPE_CHECKING:
    from torch import Tensor

    from refstar_model.data.photos import PhotoSet
    from refstar_model.data.reliefs import Reliefs

CARD = SystemCard(
    system="ganprior",
    limits=(
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
            "--part", choices=["prior"], help="train only the generator, by itself as a generator of faces"
        )
        parser.add_argument(
            "--prior", type=Path, help="weights.pt of --part prior; a new network begins with its generator"
        )
        parser.add_argument(
            "--turned",
            type=float,
            default=0.0,
            help="share of the faces whose head is turned a little further, with the face mesh of --teachers",
        )
        parser.add_argument(
            "--teachers", type=Path, default=find_teachers(), help="folder of mediapipe/, for --turned"
        )
        parser.add_argument(
            "--adversarial-from",
            type=float,
            metavar="SHARE",
            help="share of the run after which discriminator and sharpness act (default: 0.5, with --init 0)",
        )
        parser.add_argument(
            "--without",
            nargs="+",
            choices=PARTS,
            default=[],
            help="parts to leave out, for an ablation; with --init, of that network",
        )
        parser.add_argument(
            "--block", choices=list(BlockKind), help="what the codec is made of (default: that of --size)"
        )
        parser.add_argument(
            "--twins",
            type=float,
            default=0.0,
            metavar="SHARE",
            help="share of the batches in which every photograph comes twice, degraded in two ways; their codes are "
            "asked to agree",
        )
        parser.add_argument(
            "--compiled",
            action="store_true",
            help="use torch.compile; for GPUs, as on a CPU it takes longer than it saves",
        )

    def train(self, arguments: argparse.Namespace) -> Path:
        if arguments.part == "prior":
            return _train_prior(arguments)
        photos = open_named_photos(arguments)
        reliefs = _measure_reliefs(arguments, photos)  # before there are several processes: one for all
        spread_out(arguments)
        run = read_run(arguments, folders=True)
        from refstar_model.ganprior.export_view import view_network
        from refstar_model.ganprior.params import BASE, SMALL
        from refstar_model.ganprior.training import GanPriorTraining, train

        size = BASE if arguments.size == "base" else SMALL
        whole = replace(size, block=BlockKind(arguments.block or size.block))
        how = GanPriorTraining(
            network=whole.leave_out(arguments.without),
            prior=arguments.prior,
            whole=whole if arguments.without else None,
            compiled=arguments.compiled,
        )
        stream = read_stream(arguments, how.stream)
        stream = replace(
            stream,
            mix=replace(stream.mix, turned=arguments.turned, twins=_read_share(arguments.twins, "--twins")),
        )
        how = replace(how, loop=read_loop(arguments, how.loop), stream=stream)
        if run.start is not None:
            how = how.go_on()
        if arguments.adversarial_from is not None:
            how = replace(how, adversarial_from=_read_share(arguments.adversarial_from, "--adversarial-from"))
        watch = watch_restorer(arguments, photos, view_network, references=False)
        return train(photos, open_recognizer(arguments), how, run, watch, reliefs)

    def load(self, weights: Path) -> TrainedSystem:
        from refstar_model.export.restoring import TrainedRestorer
        from refstar_model.ganprior.export_view import view_network
        from refstar_model.ganprior.weights import load

        net, steps = load(weights)
        return TrainedRestorer(view_network(net), CARD, steps)

    def draw_people(
        self, weights: Path, count: int, views: int, seed: int, truncation: float
    ) -> "tuple[Tensor, int]":
        from refstar_model.ganprior.generator_weights import load_generator
        from refstar_model.ganprior.people import draw_people_sheet

        generator, steps = load_generator(weights)
        return draw_people_sheet(generator, count, seed, truncation, views), steps


SYSTEM: System = GanPriorSystem()


def _train_prior(arguments: argparse.Namespace) -> Path:
    spread_out(arguments)
    run = read_run(arguments)
    from refstar_model.ganprior.params import BASE, SMALL
    from refstar_model.ganprior.people import draw_people_sheet
    from refstar_model.ganprior.pretraining import PriorTraining, train_prior
    from refstar_model.training import Watch

    how = PriorTraining(
        network=BASE if arguments.size == "base" else SMALL, seed=arguments.seed, held=arguments.on_device
    )
    how = replace(how, loop=read_loop(arguments, how.loop), batch=arguments.batch or how.batch)
    watch = Watch(show=lambda generator: draw_people_sheet(generator, 9, how.seed))
    return train_prior(open_named_photos(arguments), how, run, watch)


def _measure_reliefs(arguments: argparse.Namespace, photos: "PhotoSet") -> "Reliefs | None":
    """Those of the train people, where faces are to be turned."""
    if not _read_share(arguments.turned, "--turned"):
        return None
    from refstar_model.data.reliefs import measure_reliefs

    return measure_reliefs(photos.split("train"), in_folder(MESH, arguments.teachers), arguments.out)


def _read_share(value: float, option: str) -> float:
    if not 0 <= value <= 1:
        raise SystemExit(f"{option} {value} is not within 0 and 1")
    return value
