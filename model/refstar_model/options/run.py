"""What the training of every system asks for: where, how long, on what."""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from refstar_model.options.photographs import add_data
from refstar_model.ranks import read_rank

if TYPE_CHECKING:
    from refstar_model.layers.precision import Precision
    from refstar_model.training import LoopParams, Run

#: More than any clock allows.
BY_CLOCK_STEPS = 10**9


def add_run_options(parser: argparse.ArgumentParser) -> None:
    add_data(parser, "folder with faces.csv and pictures, a folder of such folders, or a pack")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoint, log and weights.pt")
    parser.add_argument(
        "--steps", type=int, help="length of the whole run in steps; 0 only writes what it begins at"
    )
    parser.add_argument(
        "--minutes", type=float, default=float("inf"), help="stop after this many minutes; run again to go on"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rate", type=float, help="learning rate; with --init, 4e-4 works well")
    parser.add_argument(
        "--init", "--start", type=Path, help="weights.pt or model folder to start from, with a fresh schedule"
    )
    parser.add_argument("--device", choices=["cpu", "cuda"], help="default: a GPU if there is one")
    parser.add_argument(
        "--precision",
        choices=["bf16", "fp32"],
        help="what networks compute in (default: bf16 on a GPU; on a CPU whichever is faster there, which is measured)",
    )
    parser.add_argument(
        "--by-clock",
        action="store_true",
        help="fit one whole schedule into --minutes, however many steps that makes",
    )
    parser.add_argument(
        "--travel",
        type=Path,
        help="also keep every checkpoint in this folder, small enough to copy to another machine",
    )


def read_run(arguments: argparse.Namespace, folders: bool = False) -> "Run":
    """The run; its time starts now, so this comes before anything that takes long.

    ``folders``: whether it may begin at a model folder. What ``--init`` names and cannot be begun at ends the program.
    """
    if arguments.init is not None:
        check_start(arguments.init, "--init", folders)
    from refstar_model.training import Run
    from refstar_model.training.clock import Clock

    return Run(arguments.out, Clock(arguments.minutes), arguments.device, arguments.init, arguments.travel)


def check_start(path: Path, option: str, folders: bool) -> None:
    """End the program where ``path`` is no file, and no model folder if ``folders`` may be named."""
    if not path.exists():
        raise SystemExit(f"{option} {path} does not exist")
    if path.is_dir() and not folders:
        raise SystemExit(f"{option} {path} is a folder; here it must be the weights.pt of a training")
    if path.is_dir() and not (path / "model.json").is_file():
        raise SystemExit(f"{option} {path} is no model folder: it has no model.json")


def choose_precision(arguments: argparse.Namespace) -> "Precision":
    """The faster one, where none was asked for; a line says which."""
    import torch

    from refstar_model.layers.precision import find_faster

    on_gpu = arguments.device == "cuda" or (arguments.device is None and torch.cuda.is_available())
    found = find_faster(torch.device("cuda" if on_gpu else "cpu"))
    if not read_rank():
        print(f"computing in {found}, which is faster here (--precision)", flush=True)
    return found


def read_loop(arguments: argparse.Namespace, loop: "LoopParams") -> "LoopParams":
    """The system's own numbers with what the options change."""
    from refstar_model.layers.precision import Precision

    if arguments.by_clock:
        if arguments.minutes == float("inf"):
            raise SystemExit("--by-clock needs --minutes")
        loop = replace(loop, by_clock=True, steps=BY_CLOCK_STEPS, save_minutes=2.0)
    loop = replace(loop, precision=Precision(arguments.precision or choose_precision(arguments)))
    if arguments.rate is not None:
        if not arguments.rate > 0:
            raise SystemExit(f"--rate {arguments.rate} is not above 0")
        loop = replace(loop, learning_rate=arguments.rate)
    if arguments.steps is not None:
        if arguments.steps < 0:
            raise SystemExit(f"--steps {arguments.steps} is below 0")
        loop = replace(loop, steps=arguments.steps)
    return loop
