"""The flags of ``refstar restore``: files, and a flag for each knob as `restoration.knobs` declares it."""

import argparse
from functools import partial
from pathlib import Path
from typing import Any

from refstar_service.app.restore import RestoreFiles
from refstar_service.faces.face import Box
from refstar_service.restoration.knobs import KNOBS, Knob, KnobKind, check_box


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("input", type=Path, metavar="IN", help="a picture or a folder of pictures")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="OUT",
        help="output file, or output folder if IN is a folder",
    )
    parser.add_argument(
        "-r",
        "--reference",
        type=Path,
        action="append",
        default=[],
        help="a reference picture; repeat for several",
    )
    parser.add_argument(
        "--model",
        help="name of an installed model (default: the one that ranks first for so many references)",
    )
    for knob in KNOBS.values():
        _add_knob(parser, knob)
    parser.add_argument("--selection", type=Path, help="also write what was taken from which reference (PNG)")
    parser.add_argument(
        "--report", type=Path, metavar="FILE.json", help="also write what became of every picture and face"
    )


def read_flags(options: argparse.Namespace) -> RestoreFiles:
    """What they ask for."""
    if options.boxes is not None:
        options.boxes = tuple(options.boxes)
    return RestoreFiles(
        input=options.input,
        output=options.output,
        references=tuple(options.reference),
        model=options.model,
        knobs={name: value for name in KNOBS if (value := getattr(options, name)) is not None},
        selection=options.selection,
        report=options.report,
    )


def _add_knob(parser: argparse.ArgumentParser, knob: Knob) -> None:
    flag, text = f"--{knob.name.replace('_', '-')}", knob.help.replace("`", "").replace("%", "%%")
    match knob.kind:
        case KnobKind.BOXES:
            text = "restore the face in this box, in pixels of the upright picture; repeat for several"
            parser.add_argument(flag, type=_box, action="append", metavar="X,Y,W,H", help=text)
        case KnobKind.SWITCH:
            parser.add_argument(flag, action="store_true", default=None, help=text)
        case _:
            default = "" if knob.default is None else f" (default: {knob.default})"
            metavar = "|".join(map(str, knob.choices)) or "N"
            parser.add_argument(flag, type=partial(_parse, knob), metavar=metavar, help=text + default)


def _parse(knob: Knob, text: str) -> Any:
    try:
        return knob.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _box(text: str) -> Box:
    try:
        x, y, width, height = map(float, text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not X,Y,WIDTH,HEIGHT") from None
    try:
        return check_box(x, y, width, height)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"the box {text} {error}") from None
