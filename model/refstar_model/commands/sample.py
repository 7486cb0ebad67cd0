"""``sample``: people who do not exist, drawn by the prior of a system that has one."""

import argparse
from pathlib import Path
from typing import Any

from refstar_model.system import SYSTEMS, Generative, find_system


def add(commands: Any) -> None:
    sample = commands.add_parser("sample", help="draw people who do not exist, and several views of each")
    sample.add_argument("system", choices=list(SYSTEMS))
    sample.add_argument(
        "weights", type=Path, help="weights.pt of train ganprior --part prior, or of all of it"
    )
    sample.add_argument("--out", type=Path, required=True, help="PNG to write")
    sample.add_argument("--count", type=int, default=16, help="people")
    sample.add_argument("--views", type=int, default=1, help="of each: in other poses and light, a row each")
    sample.add_argument("--seed", type=int, default=0, help="the same people for the same seed")
    sample.add_argument(
        "--truncation",
        type=float,
        default=0.7,
        help="how far from the mean face, 0..1: near it faces are alike and whole",
    )
    sample.set_defaults(run=draw)


def draw(arguments: argparse.Namespace) -> None:
    system = find_system(arguments.system)
    if not isinstance(system, Generative):
        raise SystemExit(f"{arguments.system} has no prior that draws people; ganprior has one")
    for name in ("count", "views"):
        if getattr(arguments, name) < 1:
            raise SystemExit(f"--{name} {getattr(arguments, name)}: at least 1")
    if not 0 <= arguments.truncation <= 1:
        raise SystemExit(f"--truncation {arguments.truncation} is not within 0 and 1")
    if arguments.out.suffix != ".png":
        raise SystemExit(f"--out {arguments.out}: a sheet is written as .png")
    if not arguments.weights.is_file():
        raise SystemExit(
            f"{arguments.weights} is missing: refstar-model train ganprior --part prior writes it"
        )
    import cv2
    import numpy as np

    sheet, steps = system.draw_people(
        arguments.weights, arguments.count, arguments.views, arguments.seed, arguments.truncation
    )
    pixels = (sheet * 255).round().byte().permute(1, 2, 0).numpy()
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(arguments.out), np.ascontiguousarray(pixels[..., ::-1])):
        raise SystemExit(f"{arguments.out} could not be written")
    print(f"{arguments.out}: {arguments.count} people, {arguments.views} views each, after {steps} steps")
