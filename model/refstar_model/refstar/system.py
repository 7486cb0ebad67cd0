"""RefSTAR as a system: selection, transfer and reconstruction with references."""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from refstar_model.data.photos import Kind
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
    from refstar_model.refstar.params import RefStarParams
    from refstar_model.training import Run

CARD = SystemCard(
    system="refstar",
    limits=(
        "Detail may be invented or carried over from the reference (expression, glasses, beard, age). "
        "Not for identification or evidence.",
        "Another person's reference is mostly, but not always, recognized as such and left alone.",
    ),
    max_references=8,
    ranks=Ranks(with_references=1, without_references=2),
)


#: What an ablation leaves out, as --without names it.
PARTS = ("alignment", "gate", "reconstruction", "cycle")


class RefStarSystem:
    title = "selection, transfer and reconstruction with references"

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        add_restoration_options(parser)
        parser.add_argument(
            "--part",
            choices=["person", "heads", "reconstruction"],
            help="person: train only the gate that recognizes strangers, in the network of --init; heads: teach "
            "selection and alignment to answer around --self-stream as those of --init do around their own backbone; "
            "reconstruction: add the third part to --init and train it alone",
        )
        parser.add_argument("--backbone", choices=["naf", "vq", "gan_prior"], default="naf")
        parser.add_argument(
            "--self-stream",
            type=Path,
            help="weights.pt or model folder of system 3: it becomes the backbone and is not trained, so without a "
            "reference the result is its own",
        )
        parser.add_argument(
            "--attention",
            choices=["none", "joint", "dual"],
            help="between features of the face and of its references (default: dual; none with --self-stream)",
        )
        parser.add_argument(
            "--labels", type=Path, help="file of selection masks and mesh points (data/selection_masks.py)"
        )
        parser.add_argument(
            "--without",
            nargs="+",
            choices=PARTS,
            default=[],
            help="parts to leave out, for an ablation: of the network (with --steps 0 of a trained one), or a loss",
        )
        parser.add_argument("--vgg", type=Path, help="torchvision's VGG-19 weights, for the VGG loss")
        parser.add_argument(
            "--compiled",
            action="store_true",
            help="use torch.compile; for GPUs, as on a CPU it takes longer than it saves",
        )

    def train(self, arguments: argparse.Namespace) -> Path:
        if arguments.part == "person":
            return _train_person(arguments)
        spread_out(arguments)
        run = read_run(arguments, folders=True)
        from refstar_model.refstar.export_view import view_network
        from refstar_model.refstar.losses import LossWeights
        from refstar_model.refstar.params import BASE, SMALL, Attention, BackboneKind, rest_on_prior
        from refstar_model.refstar.training import RefStarTraining, train

        network = replace(
            BASE if arguments.size == "base" else SMALL,
            backbone=BackboneKind(arguments.backbone),
            attention=Attention(arguments.attention or "dual"),
        )
        if arguments.self_stream:
            check_start(arguments.self_stream, "--self-stream", folders=True)
            network = rest_on_prior(network, Attention(arguments.attention or "none"))
        if arguments.part == "heads":
            return _train_heads(arguments, network, run)
        if arguments.part == "reconstruction":
            return _train_reconstruction(arguments, network, run)
        if "alignment" in arguments.without:
            network = replace(network, reach=0.0)
        if "gate" in arguments.without:
            network = replace(network, gate=False)
        if "reconstruction" in arguments.without:
            network = replace(network, reconstruction=0)
        losses = LossWeights(cycle=0.0) if "cycle" in arguments.without else LossWeights()
        how = RefStarTraining(
            network=network,
            losses=losses,
            vgg=arguments.vgg,
            labels=arguments.labels,
            compiled=arguments.compiled,
            self_stream=arguments.self_stream,
        )
        stream = read_stream(arguments, how.stream)
        if arguments.self_stream:
            stream = replace(
                stream, mix=replace(stream.mix, alone=0.0)
            )  # nothing is learned without references
        how = replace(how, loop=read_loop(arguments, how.loop), stream=stream)
        photos = open_named_photos(arguments)
        watch = watch_restorer(arguments, photos, view_network, references=True)
        if not arguments.travel:  # the sheets of its own show the references too
            watch = replace(watch, show=None)
        return train(photos, open_recognizer(arguments), how, run, watch)

    def load(self, weights: Path) -> TrainedSystem:
        from refstar_model.export.restoring import TrainedRestorer
        from refstar_model.refstar.export_view import view_network
        from refstar_model.refstar.weights import load

        net, steps = load(weights)
        return TrainedRestorer(view_network(net), CARD, steps)


SYSTEM: System = RefStarSystem()


def _train_heads(arguments: argparse.Namespace, network: "RefStarParams", run: "Run") -> Path:
    from refstar_model.refstar.export_view import view_network
    from refstar_model.refstar.head_training import HeadTraining, train_heads

    if arguments.init is None or arguments.self_stream is None:
        raise SystemExit(
            "--part heads needs --self-stream (weights.pt or model folder of system 3) and --init (a trained RefSTAR, "
            "likewise)"
        )
    if arguments.labels or arguments.vgg or arguments.without:
        raise SystemExit(
            "--part heads learns from the answers of --init alone: leave out --labels, --vgg and --without"
        )
    how = HeadTraining(network, arguments.self_stream)
    how = replace(how, loop=read_loop(arguments, how.loop), stream=read_stream(arguments, how.stream))
    photos = open_named_photos(arguments)
    watch = watch_restorer(arguments, photos, view_network, references=True)
    return train_heads(photos, open_recognizer(arguments), how, run, watch)


def _train_reconstruction(arguments: argparse.Namespace, network: "RefStarParams", run: "Run") -> Path:
    from refstar_model.refstar.export_view import view_network
    from refstar_model.refstar.reconstruction_training import ReconstructionTraining, train_reconstruction

    if arguments.init is None:
        raise SystemExit(
            "--part reconstruction needs --init (weights.pt or model folder of a trained RefSTAR)"
        )
    if arguments.labels or arguments.vgg or arguments.without:
        raise SystemExit(
            "--part reconstruction uses no labels and no VGG: leave out --labels, --vgg and --without"
        )
    how = ReconstructionTraining(network, arguments.self_stream)
    how = replace(how, loop=read_loop(arguments, how.loop), stream=read_stream(arguments, how.stream))
    photos = open_named_photos(arguments)
    watch = watch_restorer(arguments, photos, view_network, references=True)
    return train_reconstruction(photos, open_recognizer(arguments), how, run, watch)


def _train_person(arguments: argparse.Namespace) -> Path:
    from refstar_model.refstar.person_training import PersonTraining, train_person

    recognizer = open_recognizer(arguments)
    if arguments.init is None or recognizer is None:
        raise SystemExit(
            "--part person needs --init (weights.pt or model folder of the net) and --recognizer"
        )
    if arguments.processes != 1:
        raise SystemExit("--part person runs in one process; leave --processes out")
    run = read_run(arguments, folders=True)
    how = PersonTraining(seed=arguments.seed)
    how = replace(how, loop=read_loop(arguments, how.loop))
    photos = open_named_photos(arguments).of_kinds(Kind.FRONT, Kind.TURNED, Kind.PROFILE, Kind.GRAY)
    return train_person(photos, recognizer, how, run)
