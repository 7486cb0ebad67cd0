"""``export`` and ``quantize``: weights to a model folder, and int8 graphs beside its others."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from refstar_model.commands.weights import load_trained
from refstar_model.data.photos import PhotoSet, roots_from_environment
from refstar_model.options.photographs import add_data, open_named_photos
from refstar_model.system import SYSTEMS


def add(commands: Any) -> None:
    export = commands.add_parser("export", help="turn weights into a model folder, checked in onnxruntime")
    export.add_argument("system", choices=list(SYSTEMS))
    export.add_argument("weights", type=Path, help="weights.pt or best.pt of a training run")
    export.add_argument("--out", type=Path, required=True, help="model folder to write")
    add_data(export, "real faces to check the graphs with")
    export.set_defaults(run=export_weights)

    quantize = commands.add_parser("quantize", help="add int8 graphs to a model folder, for CPUs")
    quantize.add_argument("folder", type=Path)
    add_data(quantize, "real faces to calibrate with")
    quantize.set_defaults(run=quantize_folder)


def export_weights(arguments: argparse.Namespace) -> None:
    photos = open_named_photos(arguments) if arguments.data or roots_from_environment() else None
    manifest = load_trained(arguments.system, arguments.weights).export(arguments.out, photos)
    for name, graph in manifest["graphs"].items():
        print(f"{name}: parity {graph['parity']:.1e}")
    _print_size(arguments.out)


def quantize_folder(arguments: argparse.Namespace) -> None:
    from refstar_model.export.quantization import quantize

    manifest = quantize(arguments.folder, draw_calibration_faces(open_named_photos(arguments).split("train")))
    for name, graph in manifest["graphs"].items():
        if "quantized" in graph:
            print(f"{name}: {graph['quantized']} convolutions in int8")
    _print_size(arguments.folder)


def draw_calibration_faces(photos: PhotoSet, count: int = 12) -> Iterator[tuple[Any, Any]]:
    """``count`` degraded faces of each level, every third one with a stranger's reference."""
    from refstar_model.data.degradation import LEVELS
    from refstar_model.evaluation.cases import few_cases

    for level in sorted(LEVELS):
        for number, case in enumerate(few_cases(photos, level, count)):
            yield case.low_quality, case.wrong if number % 3 == 2 else case.right


def _print_size(folder: Path) -> None:
    print(f"{folder}: {sum(file.stat().st_size for file in folder.iterdir()) / 1e6:.1f} MB")
