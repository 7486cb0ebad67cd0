"""``train``: a system each."""

import argparse
from collections.abc import Sequence
from typing import Any

from refstar_model.options.run import add_run_options
from refstar_model.ranks import read_rank
from refstar_model.system import SYSTEMS, find_system


class SystemParser(argparse.ArgumentParser):
    """Of one system. It is imported, to add its options, when something is to be parsed for it, and no earlier."""

    system: str | None = None

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        if self.system is not None:
            system, self.system = find_system(self.system), None
            self.description = system.title
            add_run_options(self)
            system.add_options(self)
            self.set_defaults(train=system.train)
        return super().parse_known_args(args, namespace)


def add(commands: Any) -> None:
    train = commands.add_parser("train", help="train a system; continues if --out holds a checkpoint")
    systems = train.add_subparsers(required=True, metavar="system", parser_class=SystemParser)
    for name in SYSTEMS:
        systems.add_parser(name).system = name
    train.set_defaults(run=train_system)


def train_system(arguments: argparse.Namespace) -> None:
    weights = arguments.train(arguments)
    if read_rank() == 0:
        print(weights)
