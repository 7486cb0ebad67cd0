"""What the training of a system that restores faces asks for beyond every run: batches, losses' teachers, judges."""

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from refstar_model.options.photographs import JUDGE, TEACHER, find_model

if TYPE_CHECKING:
    from refstar_model.data.photos import PhotoSet
    from refstar_model.data.stream import StreamParams
    from refstar_model.export.views import RestoringViews
    from refstar_model.judges.recognition import Recognizer
    from refstar_model.training import Watch


def add_restoration_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--batch", type=int, help="faces in a batch; 32 to 64 on a GPU")
    parser.add_argument(
        "--recognizer", type=Path, default=find_model(TEACHER), help="face recognizer for the losses (ONNX)"
    )
    parser.add_argument(
        "--judge",
        type=Path,
        default=find_model(JUDGE),
        help="face recognizer that scores val faces for best.pt; should not be --recognizer",
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
    from refstar_model.training import processes

    if arguments.processes < 1:
        raise SystemExit(f"--processes must be at least 1, not {arguments.processes}")
    if arguments.processes > 1 and processes.count_started() == 1:
        processes.launch(arguments.processes, "refstar_model.cli", sys.argv[1:])


def read_stream(arguments: argparse.Namespace, stream: "StreamParams") -> "StreamParams":
    """The system's own numbers with what the options change."""
    stream = replace(stream, seed=arguments.seed, on_device=arguments.on_device)
    return replace(stream, batch=arguments.batch) if arguments.batch else stream


def open_recognizer(arguments: argparse.Namespace) -> "Recognizer | None":
    """That of the losses, where there is one."""
    from refstar_model.judges.recognition import Recognizer

    return Recognizer(arguments.recognizer) if arguments.recognizer else None


def watch_restorer(
    arguments: argparse.Namespace, photos: "PhotoSet", view: Callable[[Any], "RestoringViews"]
) -> "Watch":
    """Who scores the network on val faces, where there is a judge, and draws sheets of them.

    ``view``: the network as the graphs that it is to become.
    """
    from refstar_model.evaluation import NetModel, draw_quick_sheet, quick_scores, quick_scores_alone
    from refstar_model.judges.recognition import Recognizer
    from refstar_model.training import Watch

    val = photos.split("val")
    scorer = Recognizer(arguments.judge) if arguments.judge else None

    def judge(net: Any) -> dict[str, float]:
        assert scorer is not None
        model = NetModel(view(net))
        return (quick_scores if model.takes_references else quick_scores_alone)(model, val, scorer)

    return Watch(judge if scorer else None, lambda net: draw_quick_sheet(NetModel(view(net)), val))
