"""refstar-client: submit."""

import argparse
from collections.abc import Sequence

from refstar_client.submit import command


def main(arguments: Sequence[str] | None = None) -> None:
    """The program; ends by SystemExit."""
    parser = argparse.ArgumentParser(prog="refstar-client", description="Talk to a running RefSTAR Serve.")
    commands = parser.add_subparsers(metavar="command", required=True)
    submit = commands.add_parser("submit", help=command.HELP, description=command.EXPLANATION)
    command.add_flags(submit)
    raise SystemExit(command.run_submission(parser.parse_args(arguments)))


if __name__ == "__main__":
    main()
