"""``export`` and ``quantize``: weights to a model folder, and int8 graphs beside its others."""

import argparse
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from refstar_model.commands.weights import load_trained
from refstar_model.data.credits import credit_photos, is_complete, read_record
from refstar_model.data.pack import open_photos
from refstar_model.data.photos import PhotoSet, PhotoWeights, roots_from_environment
from refstar_model.export.card import NO_LICENSE, NO_VERSION, Publication
from refstar_model.options.photographs import add_data, open_named_photos
from refstar_model.system import SYSTEMS

#: What a request can ask for, and a folder can be called anywhere.
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")


def add(commands: Any) -> None:
    export = commands.add_parser("export", help="turn weights into a model folder, checked in onnxruntime")
    export.add_argument("system", choices=list(SYSTEMS))
    export.add_argument("weights", type=Path, help="weights.pt or best.pt of a training run")
    export.add_argument("--out", type=Path, required=True, help="model folder to write")
    add_data(export, "real faces to check the graphs with")
    export.add_argument("--name", help="what requests ask for (default: the name of the folder --out)")
    export.add_argument(
        "--version", default=NO_VERSION, help=f"of this model, such as 1.2.0 (default: {NO_VERSION})"
    )
    export.add_argument(
        "--license", default=NO_LICENSE, help=f"of the weights, by its SPDX name (default: {NO_LICENSE!r})"
    )
    export.add_argument(
        "--limit",
        action="append",
        default=[],
        metavar="SENTENCE",
        help="a limitation that users should know; may be given several times",
    )
    export.add_argument(
        "--trained-on",
        type=Path,
        action="append",
        default=[],
        metavar="DATA",
        help="data folder that the weights were trained on; for weights from before this was recorded",
    )
    export.add_argument(
        "--unranked",
        action="store_true",
        help="never the default of a service: only for requests that name the model",
    )
    export.add_argument(
        "--graphs-of",
        type=Path,
        metavar="FOLDER",
        help="write no graphs, but use those without references of this model folder of RefSTAR beside --out, whose "
        "self stream these weights are: one file of weights for both",
    )
    export.add_argument(
        "--weights-with",
        type=Path,
        metavar="FOLDER",
        help="keep the graphs in this model folder beside --out, so that weights which both have are stored once; "
        "--out has a model.json only",
    )
    export.set_defaults(run=export_weights)

    quantize = commands.add_parser("quantize", help="add int8 graphs to a model folder, for CPUs")
    quantize.add_argument("folder", type=Path)
    add_data(quantize, "real faces to calibrate with")
    quantize.set_defaults(run=quantize_folder)

    smooth = commands.add_parser(
        "remove-lattice",
        help="take the regular pattern that a network prints out of the graphs of its folder",
    )
    smooth.add_argument("folder", type=Path)
    smooth.add_argument("--version", required=True, help="of the model without it")
    add_data(smooth, "real faces to measure it on")
    smooth.set_defaults(run=smooth_folder)


def export_weights(arguments: argparse.Namespace) -> None:
    from refstar_model.export.joining import join_folder
    from refstar_model.export.restoring import TrainedRestorer

    if arguments.graphs_of and arguments.weights_with:
        raise SystemExit(
            "--graphs-of writes no graphs, so there is nothing for --weights-with to keep: leave one out"
        )
    photos = open_named_photos(arguments) if arguments.data or roots_from_environment() else None
    trained = load_trained(arguments.system, arguments.weights)
    model = describe_publication(arguments)
    if arguments.graphs_of:
        if not isinstance(trained, TrainedRestorer) or trained.views.encode_references is not None:
            raise SystemExit(f"--graphs-of is for systems without references, and {arguments.system} is none")
        manifest = trained.borrow(arguments.out, model, arguments.graphs_of)
    else:
        manifest = trained.export(arguments.out, model, photos)
        if arguments.weights_with:
            manifest = join_folder(arguments.out, arguments.weights_with)
    print(f"{manifest['name']} {manifest['version']}, license {manifest['license']}, trained on:")
    for sentence in manifest["training_data"]:
        print(f"  {sentence}")
    for name, graph in manifest["graphs"].items():
        if "parity" in graph:  # int8 graphs of another folder have none
            print(f"{name}: parity {graph['parity']:.1e}")
    _print_size(arguments.out)


def describe_publication(arguments: argparse.Namespace) -> Publication:
    """What the options and the record in the weights say; leaves the program where they contradict each other."""
    name = arguments.name or arguments.out.resolve().name
    if not NAME.fullmatch(name):
        raise SystemExit(
            f"a model's name has lower-case letters, digits and hyphens, up to 64: not {name!r}; use --name"
        )
    record = read_record(arguments.weights)
    if arguments.trained_on:
        if is_complete(record):
            raise SystemExit(f"{arguments.weights} has its training data on record: leave out --trained-on")
        record = credit_photos(open_photos(arguments.trained_on).split("train"), PhotoWeights())
    elif not is_complete(record):
        print(f"{arguments.weights}: what it was trained on is not on record; --trained-on DATA names it")
    return Publication(
        name, arguments.version, arguments.license, record, tuple(arguments.limit), not arguments.unranked
    )


def quantize_folder(arguments: argparse.Namespace) -> None:
    from refstar_model.export.quantization import quantize

    manifest = quantize(arguments.folder, draw_calibration_faces(open_named_photos(arguments).split("train")))
    for name, graph in manifest["graphs"].items():
        if "quantized" in graph:
            print(f"{name}: {graph['quantized']} convolutions in int8")
    _print_size(arguments.folder)


def smooth_folder(arguments: argparse.Namespace) -> None:
    from refstar_model.evaluation.lattice import remove_lattice

    drawn = draw_calibration_faces(open_named_photos(arguments).split("train"), 24)
    manifest = remove_lattice(arguments.folder, [face for face, _ in drawn], arguments.version)
    print(f"{manifest['lattice']} gray levels from peak to trough at fidelity 0")


def draw_calibration_faces(photos: PhotoSet, count: int = 12) -> Iterator[tuple[Any, Any]]:
    """``count`` degraded faces of each level, every third one with a stranger's reference."""
    from refstar_model.data.degradation import LEVELS
    from refstar_model.evaluation.cases import few_cases

    for level in sorted(LEVELS):
        for number, case in enumerate(few_cases(photos, level, count)):
            yield case.low_quality, case.wrong if number % 3 == 2 else case.right


def _print_size(folder: Path) -> None:
    print(f"{folder}: {sum(file.stat().st_size for file in folder.iterdir()) / 1e6:.1f} MB")
