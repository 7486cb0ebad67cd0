"""ENTED as a system: textures of references, a dictionary, refined style codes."""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from refstar_model.export.card import Ranks, SystemCard
from refstar_model.options.photographs import open_named_photos
from refstar_model.options.restoration import (
    add_restoration_options,
    open_recognizer,
    read_stream,
    spread_out,
    watch_restorer,
)
from refstar_model.options.run import check_start, read_loop, read_run
from refstar_model.system import System, TrainedSystem

if TYPE_CHECKING:
    from refstar_model.ented.params import EntedParams

CARD = SystemCard(
    system="ented",
    limits=(
        "Detail may be invented, or come from the reference. Not for identification or evidence.",
        "A stranger's reference is mostly left out, but not always.",
    ),
    max_references=8,
    ranks=Ranks(),
)

#: What an ablation leaves out, as --without names it.
PARTS = ("dictionary", "refinement", "distribution", "residual")


class EntedSystem:
    title = "textures of references, a dictionary, refined style codes"

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        add_restoration_options(parser)
        parser.add_argument(
            "--part", choices=["dictionary"], help="train only the dictionary, on good photographs"
        )
        parser.add_argument(
            "--dictionary",
            type=Path,
            help="weights.pt of --part dictionary; not needed with --init: the choice of words is not trained then",
        )
        parser.add_argument(
            "--backbone",
            type=Path,
            help="weights.pt or model folder of ganprior, which a new network is built around and which is not trained",
        )
        parser.add_argument(
            "--gate",
            type=Path,
            help="the same of refstar: a new network has its person gate, not trained either",
        )
        parser.add_argument(
            "--labels", type=Path, help="file of mesh points (data --labels), which teach the alignment"
        )
        parser.add_argument(
            "--without", nargs="+", choices=PARTS, default=[], help="parts to leave out, for an ablation"
        )

    def train(self, arguments: argparse.Namespace) -> Path:
        if arguments.part == "dictionary":
            return _train_dictionary(arguments)
        if arguments.dictionary is None and arguments.init is None and "dictionary" not in arguments.without:
            raise SystemExit(
                "--dictionary is needed: weights.pt of --part dictionary, or leave it out with --without dictionary"
            )
        for option in ("backbone", "gate"):
            path = getattr(arguments, option)
            if path is not None:
                check_start(path, f"--{option}", folders=True)
            elif arguments.init is None:
                raise SystemExit(
                    f"--{option} is needed: ENTED is built around a trained ganprior, and has the person gate of a "
                    "refstar"
                )
        spread_out(arguments)
        run = read_run(arguments, folders=True)
        from refstar_model.ented.export_view import view_network
        from refstar_model.ented.training import EntedTraining, train

        how = EntedTraining(
            network=_leave_out(_size(arguments), arguments.without),
            dictionary=arguments.dictionary,
            backbone=arguments.backbone,
            gate=arguments.gate,
            labels=arguments.labels,
        )
        how = replace(how, loop=read_loop(arguments, how.loop), stream=read_stream(arguments, how.stream))
        if arguments.init is not None:
            how = how.go_on()
        photos = open_named_photos(arguments)
        watch = watch_restorer(arguments, photos, view_network, references=True)
        return train(photos, open_recognizer(arguments), how, run, watch)

    def load(self, weights: Path) -> TrainedSystem:
        from refstar_model.ented.export_view import view_network
        from refstar_model.ented.weights import load
        from refstar_model.export.restoring import TrainedRestorer

        net, steps = load(weights)
        return TrainedRestorer(view_network(net), CARD, steps)


SYSTEM: System = EntedSystem()


def _size(arguments: argparse.Namespace) -> "EntedParams":
    from refstar_model.ented.params import BASE, SMALL

    return BASE if arguments.size == "base" else SMALL


def _leave_out(params: "EntedParams", parts: Sequence[str]) -> "EntedParams":
    dictionary, refinement, distribution, residual = (part not in parts for part in PARTS)
    return replace(
        params,
        dictionary=dictionary,
        refinement=refinement,
        distribution=distribution,
        residual=residual,
    )


def _train_dictionary(arguments: argparse.Namespace) -> Path:
    if arguments.processes != 1:
        raise SystemExit("--part dictionary runs in one process; leave --processes out")
    run = read_run(arguments)
    from refstar_model.ented.dictionary_training import DictionaryTraining, train_dictionary

    how = DictionaryTraining(network=_size(arguments), seed=arguments.seed)
    how = replace(how, loop=read_loop(arguments, how.loop), batch=arguments.batch or how.batch)
    return train_dictionary(open_named_photos(arguments), how, run)
