"""refstar-model: prepare, train, export, quantize, evaluate, sample."""

import argparse

from refstar_model.commands import evaluate, photographs, prepare, publish, sample, train
from refstar_model.data.photos import DataError
from refstar_model.training.parcel import ParcelError


def main() -> None:
    parser = argparse.ArgumentParser(prog="refstar-model", description=__doc__)
    commands = parser.add_subparsers(required=True)
    for module in (prepare, photographs, train, publish, evaluate, sample):
        module.add(commands)
    arguments = parser.parse_args()
    try:
        arguments.run(arguments)
    except (DataError, ParcelError) as error:
        raise SystemExit(f"refstar-model: {error}") from None


if __name__ == "__main__":
    main()
