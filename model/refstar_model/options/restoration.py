"""What the training of a system that restores faces asks for beyond every run: batches, losses' teachers, judges."""

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from refstar_model.options.run import choose_precision
from refstar_model.options.teachers import JUDGE, RECOGNIZER
from refstar_model.ranks import count_started, read_rank

if TYPE_CHECKING:
    from torch import Tensor

    from refstar_model.data.photos import PhotoSet
    from refstar_model.data.stream import StreamParams
    from refstar_model.export.views import RestoringViews
    from refstar_model.judges.recognition import Recognizer
    from refstar_model.training import Watch


NO_RECOGNIZER = (
    "no loss asks for the person's likeness, and wrong references are drawn at random instead of from look-alikes: "
    "results are less like the person"
)
NO_JUDGE = "best.pt is chosen by PSNR and sharpness alone, and nothing says whether the person is recognized"


def add_restoration_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--size", choices=["small", "base"], default="small", help="small is for CPUs, base for GPUs"
    )
    parser.add_argument("--batch", type=int, help="faces in a batch; 32 to 64 on a GPU")
    parser.add_argument(
        "--recognizer",
        type=Path,
        default=RECOGNIZER.find(),
        help="face recognizer for the losses (ONNX); works without",
    )
    parser.add_argument(
        "--judge",
        type=Path,
        default=JUDGE.find(),
        help="face recognizer that scores val faces for best.pt (ONNX), not that of the losses; works without",
    )
    parser.add_argument(
        "--processes",
        type=int,
        default=1,
        help="number of processes that share every step; one per core or GPU is best",
    )
    parser.add_argument(
        "--on-device",
        action="store_true",
        help="make samples on the device too; on a GPU many times faster than any loader",
    )


def spread_out(arguments: argparse.Namespace) -> None:
    """Become the launcher of several processes, where they are asked for and this is not one of them."""
    if arguments.processes < 1:
        raise SystemExit(f"--processes must be at least 1, not {arguments.processes}")
    if arguments.processes > 1 and count_started() == 1:
        from refstar_model.training.processes import launch

        # Measured here, while nobody else computes, and the same for all.
        chosen = [] if arguments.precision else ["--precision", choose_precision(arguments)]
        launch(arguments.processes, "refstar_model.cli", [*sys.argv[1:], *chosen])


def read_stream(arguments: argparse.Namespace, stream: "StreamParams") -> "StreamParams":
    """The system's own numbers with what the options change."""
    stream = replace(stream, seed=arguments.seed, on_device=arguments.on_device)
    return replace(stream, batch=arguments.batch) if arguments.batch else stream


def open_recognizer(arguments: argparse.Namespace) -> "Recognizer | None":
    """That of the losses, where there is one; else a line says what is lost."""
    path = RECOGNIZER.choose(arguments.recognizer, "--recognizer", NO_RECOGNIZER)
    if path is None:
        return None
    from refstar_model.judges.recognition import Recognizer

    return Recognizer(path)


def watch_restorer(
    arguments: argparse.Namespace,
    photos: "PhotoSet",
    view: Callable[[Any], "RestoringViews"],
    references: bool,
) -> "Watch":
    """Who scores the network on val faces, and draws sheets of them; nobody where there are none to do it with.

    ``view``: the network as the graphs that it is to become; ``references``: whether it takes any.
    """
    from refstar_model.evaluation import (
        NetModel,
        draw_quick_sheet,
        has_cases,
        quick_scores,
        quick_scores_alone,
    )
    from refstar_model.judges.recognition import Recognizer
    from refstar_model.training import Watch

    val = photos.split("val")
    judged = has_cases(val) if references else bool(val.photos)
    if not judged and read_rank() == 0:
        print("too few val people to judge by: no best.pt is kept", flush=True)
    path = JUDGE.choose(arguments.judge, "--judge", NO_JUDGE)
    scorer = Recognizer(path) if path is not None else None

    def judge(net: Any) -> dict[str, float]:
        return (quick_scores if references else quick_scores_alone)(NetModel(view(net)), val, scorer)

    def show(net: Any) -> "Tensor":
        return draw_quick_sheet(NetModel(view(net)), val)

    return Watch(judge if judged else None, show if val.photos else None)
