"""The flags of ``refstar restore``: files, and a flag for each knob as `restoration.knobs` declares it."""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from refstar_service.app.restore.wanted import JOURNAL, Existing, RestoreFiles
from refstar_service.faces.face import Box
from refstar_service.restoration.knobs import KNOBS, Knob, KnobKind, check_box
from refstar_service.settings import Settings

#: Flags of the limits of a picture: field of `ImageLimits`, what it is.
_LIMITS = {
    "max_bytes": "most bytes of a picture's file (default: 1 GiB, or REFSTAR_MAX_IMAGE_BYTES)",
    "max_pixels": "most pixels of a picture, at most 89000000 (default: 52000000, or REFSTAR_MAX_IMAGE_PIXELS)",
    "max_side": "longest side of a picture in pixels (default: 16384, or REFSTAR_MAX_IMAGE_SIDE)",
    "min_side": "shortest side of a picture in pixels (default: 16, or REFSTAR_MIN_IMAGE_SIDE)",
}


def add_flags(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("input", type=Path, metavar="IN", help="a picture or a folder of pictures")
    add(
        "-o",
        "--output",
        required=True,
        metavar="OUT",
        help="output file; or output folder, if IN is a folder or OUT ends in /; or - for standard output",
    )
    add(
        "-r",
        "--reference",
        type=Path,
        action="append",
        default=[],
        help="a reference picture; repeat for several",
    )
    add(
        "--model",
        help="name of an installed model (default: the one that ranks first for so many references)",
    )
    for knob in KNOBS.values():
        _add_knob(parser, knob)
    add("--selection", type=Path, help="also write what was taken from which reference (PNG)")
    add(
        "--report",
        type=Path,
        metavar="FILE.json",
        help="also write what became of every picture and face",
    )
    add(
        "--json",
        action="store_true",
        help="the same on standard output, one line for each picture as it ends",
    )
    _add_folder_flags(parser)
    for name, text in _LIMITS.items():
        bound, _, what = name.partition("_")
        flag = f"--{bound}-image-{what}"
        add(flag, dest=f"limit_{name}", type=_whole(f"{bound}_image_{what}"), metavar="N", help=text)


def _add_folder_flags(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--recursive", action="store_true", help="also restore what is in the folders of the folder")
    existing = parser.add_mutually_exclusive_group()
    existing.add_argument(
        "--overwrite",
        action="store_true",
        help="replace results that exist (default: they are never touched)",
    )
    existing.add_argument(
        "--skip-existing", action="store_true", help="count pictures whose results exist as done"
    )
    add(
        "--journal",
        type=Path,
        metavar="FILE",
        help="what is done of a folder, so that the same command goes on where it was interrupted (default: "
        f"{JOURNAL} in the output folder)",
    )
    add("--retry-failed", action="store_true", help="also try again what failed in an earlier run")


def read_flags(options: argparse.Namespace) -> RestoreFiles:
    """What they ask for."""
    if options.boxes is not None:
        options.boxes = tuple(options.boxes)
    output = None if options.output == "-" else Path(options.output)
    a_folder = options.output.endswith("/") or options.input.is_dir()
    existing = Existing.SKIP if options.skip_existing else Existing.REFUSE
    return RestoreFiles(
        input=options.input,
        output=output,
        into_folder=output is not None and (a_folder or output.is_dir()),
        references=tuple(options.reference),
        model=options.model,
        knobs={name: value for name in KNOBS if (value := getattr(options, name)) is not None},
        limits={name: value for name in _LIMITS if (value := getattr(options, f"limit_{name}")) is not None},
        selection=options.selection,
        report=options.report,
        recursive=options.recursive,
        existing=Existing.OVERWRITE if options.overwrite else existing,
        journal=options.journal,
        retry_failed=options.retry_failed,
        as_json=options.json,
    )


def _whole(setting: str) -> Callable[[str], int]:
    """Parses what the setting could be."""
    bounds = Settings.model_fields[setting].metadata
    least = next(bound.ge for bound in bounds if hasattr(bound, "ge"))
    most = next((bound.le for bound in bounds if hasattr(bound, "le")), None)
    wanted = f"a whole number from {least} to {most}" if most is not None else f"a whole number from {least}"

    def parse(text: str) -> int:
        if not text.isascii() or not text.isdecimal() or not least <= int(text) <= (most or int(text)):
            raise argparse.ArgumentTypeError(f"must be {wanted}, not {text[:80]!r}")
        return int(text)

    return parse


def _add_knob(parser: argparse.ArgumentParser, knob: Knob) -> None:
    flag, text = f"--{knob.name.replace('_', '-')}", knob.help.replace("`", "").replace("%", "%%")
    match knob.kind:
        case KnobKind.BOXES:
            text = "restore the face in this box, in pixels of the upright picture; repeat for several"
            parser.add_argument(flag, type=_box, action="append", metavar="X,Y,W,H", help=text)
        case KnobKind.SWITCH:
            usual = f" (default: {flag if knob.default else flag.replace('--', '--no-', 1)})"
            parser.add_argument(flag, action=argparse.BooleanOptionalAction, default=None, help=text + usual)
        case _:
            default = "" if knob.default is None else f" (default: {knob.default})"
            metavar = "|".join(map(str, knob.choices)) or "N"
            action = parser.add_argument(
                flag, type=partial(_parse, knob), metavar=metavar, help=text + default
            )
            action.choices = knob.choices or None  # for shells: what is none of them, `_parse` refuses


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
