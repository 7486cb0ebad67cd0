"""refstar-model: train, export, evaluate."""

import argparse
import os
from dataclasses import replace
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(prog="refstar-model", description=__doc__)
    commands = parser.add_subparsers(required=True)

    train = commands.add_parser("train", help="train a network; goes on where --out has a checkpoint")
    train.add_argument("system", choices=["refstar"])
    train.add_argument("--data", type=Path, default=_data("faces"), help="folder of faces.csv and pictures")
    train.add_argument("--recognizer", type=Path, default=_data("models/mobileface/mobileface_v3.onnx"))
    train.add_argument("--out", type=Path, required=True, help="folder for checkpoint, log and weights.pt")
    train.add_argument("--steps", type=int, help="steps of the whole run")
    train.add_argument("--minutes", type=float, default=float("inf"), help="stop this slice after so many minutes")
    train.add_argument("--seed", type=int, default=0)
    train.set_defaults(run=_train)

    arguments = parser.parse_args()
    arguments.run(arguments)


def _data(part: str) -> Path | None:
    """A path below $REFSTAR_DATA, which names the folder of photographs and teacher models."""
    root = os.environ.get("REFSTAR_DATA")
    return Path(root) / part if root else None


def _train(arguments: argparse.Namespace) -> None:
    from refstar_model.data.photos import load_photos
    from refstar_model.recognition import Recognizer
    from refstar_model.refstar.training import RefStarTraining, train

    how = RefStarTraining(seed=arguments.seed)
    if arguments.steps:
        how = replace(how, loop=replace(how.loop, steps=arguments.steps))
    recognizer = Recognizer(arguments.recognizer) if arguments.recognizer else None
    print(train(load_photos(arguments.data), recognizer, how, arguments.out, arguments.minutes))


if __name__ == "__main__":
    main()
