"""``train``: a system each. What all restoring networks share, from the batch to the clock, is asked for once."""

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from refstar_model.commands.arguments import (
    JUDGE,
    MISSING,
    TEACHER,
    TEACHERS,
    add_data,
    find_model,
    open_named_photos,
)
from refstar_model.data.photos import Kind

if TYPE_CHECKING:
    from refstar_model.data.stream import StreamParams
    from refstar_model.training import LoopParams

#: More than any clock allows.
BY_CLOCK_STEPS = 10**9


def add(commands: Any) -> None:
    train = commands.add_parser("train", help="train a network; goes on where --out has a checkpoint")
    systems = train.add_subparsers(required=True, metavar="system")

    refstar = systems.add_parser("refstar", help="selection, transfer and reconstruction with references")
    _add_run(refstar)
    _add_restoration(refstar)
    refstar.add_argument("--part", choices=["person"], help="only the gate that knows strangers, of --init")
    refstar.add_argument("--backbone", choices=["naf", "vq", "gan_prior"], default="naf")
    refstar.add_argument(
        "--attention", choices=["none", "joint", "dual"], default="dual", help="in the features"
    )
    refstar.add_argument(
        "--labels", type=Path, help="selection masks and mesh points (data/selection_masks.py)"
    )
    refstar.add_argument("--vgg", type=Path, help="torchvision's VGG-19 weights for the loss of that name")
    refstar.set_defaults(run=train_refstar)

    ganprior = systems.add_parser("ganprior", help="codec and GAN prior, without references")
    _add_run(ganprior)
    _add_restoration(ganprior)
    ganprior.set_defaults(run=train_ganprior)

    detector = systems.add_parser("detector", help="finds faces and their five points")
    _add_run(detector)
    detector.add_argument(
        "--teachers", type=Path, default=find_model(TEACHERS), help="folder of yunet/, mediapipe/"
    )
    detector.add_argument("--backgrounds", type=Path, help="folder of face-free photographs")
    detector.add_argument("--part", choices=["finder", "refiner"], help="only one of the two")
    detector.set_defaults(run=train_detector)


def _add_run(parser: argparse.ArgumentParser) -> None:
    add_data(parser, "folder of faces.csv and pictures, one that holds such, or a pack")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoint, log and weights.pt")
    parser.add_argument("--steps", type=int, help="steps of the whole run")
    parser.add_argument(
        "--minutes", type=float, default=float("inf"), help="end this slice after so many minutes"
    )
    parser.add_argument("--seed", type=int, default=0)


def _add_restoration(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--size", choices=["small", "base"], default="small", help="for a CPU, for a GPU")
    parser.add_argument("--batch", type=int, help="faces of a batch; 32 to 64 on a GPU")
    parser.add_argument("--rate", type=float, help="learning rate; 4e-4 is good after --init")
    parser.add_argument(
        "--init", "--start", type=Path, help="weights.pt to begin from, with a fresh schedule"
    )
    parser.add_argument("--recognizer", type=Path, default=find_model(TEACHER), help="for the losses")
    parser.add_argument(
        "--judge",
        type=Path,
        default=find_model(JUDGE),
        help="scores val faces now and then, for best.pt; another one than --recognizer",
    )
    parser.add_argument(
        "--compiled", action="store_true", help="torch.compile, for GPUs; on a CPU not worth its minutes"
    )
    parser.add_argument(
        "--processes",
        type=int,
        default=1,
        help="that take every step together, best one for each core or GPU",
    )
    parser.add_argument("--device", choices=["cpu", "cuda"], help="where to train; a GPU where there is one")
    parser.add_argument(
        "--on-device",
        action="store_true",
        help="make the samples on the device too; on a GPU many times faster than any loader",
    )
    parser.add_argument(
        "--by-clock",
        action="store_true",
        help="one whole schedule in the --minutes of this call, however many steps they are",
    )
    parser.add_argument(
        "--travel", type=Path, help="folder for what can travel of every checkpoint: a few files in halves"
    )


def train_refstar(arguments: argparse.Namespace) -> None:
    if arguments.part == "person":
        _train_person(arguments)
        return
    _spread_out(arguments)
    from refstar_model.evaluation import NetModel, draw_quick_sheet, quick_scores
    from refstar_model.recognition import Recognizer
    from refstar_model.refstar.params import BASE, SMALL, Attention, BackboneKind
    from refstar_model.refstar.training import RefStarTraining, train

    how = RefStarTraining(
        network=replace(
            BASE if arguments.size == "base" else SMALL,
            backbone=BackboneKind(arguments.backbone),
            attention=Attention(arguments.attention),
        ),
        start=arguments.init,
        vgg=arguments.vgg,
        labels=arguments.labels,
        compiled=arguments.compiled,
        device=arguments.device,
        travel=arguments.travel,
    )
    how = replace(how, loop=_loop(arguments, how.loop), stream=_stream(arguments, how.stream))
    photos = open_named_photos(arguments)
    val = photos.split("val")
    scorer = Recognizer(arguments.judge) if arguments.judge else None

    def judge(net: Any) -> dict[str, float]:
        assert scorer is not None
        return quick_scores(NetModel(net), val, scorer)

    def show(net: Any) -> Any:
        return draw_quick_sheet(NetModel(net), val)

    weights = train(
        photos,
        Recognizer(arguments.recognizer) if arguments.recognizer else None,
        how,
        arguments.out,
        arguments.minutes,
        judge if scorer else None,
        show if arguments.travel else None,
    )
    _print_once(weights)


def train_ganprior(arguments: argparse.Namespace) -> None:
    _spread_out(arguments)
    from refstar_model.evaluation import LoneNetModel, draw_quick_sheet, quick_scores_alone
    from refstar_model.ganprior.export_view import RestoreAlone
    from refstar_model.ganprior.params import BASE, SMALL
    from refstar_model.ganprior.training import GanPriorTraining, train
    from refstar_model.recognition import Recognizer

    how = GanPriorTraining(
        network=BASE if arguments.size == "base" else SMALL,
        start=arguments.init,
        compiled=arguments.compiled,
        device=arguments.device,
        travel=arguments.travel,
    )
    how = replace(how, loop=_loop(arguments, how.loop), stream=_stream(arguments, how.stream))
    photos = open_named_photos(arguments)
    val = photos.split("val")

    def seen(net: Any) -> LoneNetModel:
        return LoneNetModel(RestoreAlone(net), how.network.size)

    scorer = Recognizer(arguments.judge) if arguments.judge else None

    def judge(net: Any) -> dict[str, float]:
        assert scorer is not None
        return quick_scores_alone(seen(net), val, scorer)

    def show(net: Any) -> Any:
        return draw_quick_sheet(seen(net), val)

    weights = train(
        photos,
        Recognizer(arguments.recognizer) if arguments.recognizer else None,
        how,
        arguments.out,
        arguments.minutes,
        judge if scorer else None,
        show,
    )
    _print_once(weights)


def train_detector(arguments: argparse.Namespace) -> None:
    from refstar_model.detector.labels import Teachers
    from refstar_model.detector.training import PARTS, DetectorTraining, train

    if arguments.teachers is None:
        raise SystemExit(f"--teachers is missing {MISSING}")
    teachers = Teachers(
        arguments.teachers / "yunet/face_detection_yunet_2023mar.onnx",
        arguments.teachers / "mediapipe/face_landmark.tflite",
    )
    how = DetectorTraining(seed=arguments.seed)
    if arguments.steps:
        how = replace(
            how,
            finder=replace(how.finder, steps=arguments.steps),
            refiner=replace(how.refiner, steps=arguments.steps),
        )
    parts = (arguments.part,) if arguments.part else PARTS
    # The teachers' points are good on heads that look at us only.
    photos = open_named_photos(arguments).of_kinds(Kind.FRONT)
    print(train(photos, teachers, arguments.backgrounds, how, arguments.out, arguments.minutes, parts))


def _train_person(arguments: argparse.Namespace) -> None:
    from refstar_model.recognition import Recognizer
    from refstar_model.refstar.person_training import PersonTraining, train_person

    if arguments.init is None or arguments.recognizer is None:
        raise SystemExit("--part person needs --init (weights.pt of the net) and --recognizer")
    if arguments.processes != 1:
        raise SystemExit("--part person takes one process: its batches are not dealt out")
    how = PersonTraining(seed=arguments.seed)
    if arguments.rate:
        how = replace(how, loop=replace(how.loop, learning_rate=arguments.rate))
    if arguments.steps:
        how = replace(how, loop=replace(how.loop, steps=arguments.steps))
    recognizer = Recognizer(arguments.recognizer)
    photos = open_named_photos(arguments).of_kinds(Kind.FRONT)
    print(train_person(arguments.init, photos, recognizer, how, arguments.out, arguments.minutes))


def _spread_out(arguments: argparse.Namespace) -> None:
    """Become the launcher of several processes, where they are asked for and this is not one of them."""
    from refstar_model import processes

    if arguments.processes < 1:
        raise SystemExit(f"--processes {arguments.processes}: at least 1")
    if arguments.processes > 1 and processes.started() == 1:
        processes.start(arguments.processes, "refstar_model.cli", sys.argv[1:])


def _loop(arguments: argparse.Namespace, loop: "LoopParams") -> "LoopParams":
    if arguments.by_clock:
        if arguments.minutes == float("inf"):
            raise SystemExit("--by-clock needs --minutes")
        loop = replace(loop, by_clock=True, steps=BY_CLOCK_STEPS, line_seconds=5.0, save_minutes=2.0)
    if arguments.rate:
        loop = replace(loop, learning_rate=arguments.rate)
    return replace(loop, steps=arguments.steps) if arguments.steps else loop


def _stream(arguments: argparse.Namespace, stream: "StreamParams") -> "StreamParams":
    stream = replace(stream, seed=arguments.seed, on_device=arguments.on_device)
    return replace(stream, batch=arguments.batch) if arguments.batch else stream


def _print_once(path: Path) -> None:
    from refstar_model import processes

    if processes.rank() == 0:
        print(path)
