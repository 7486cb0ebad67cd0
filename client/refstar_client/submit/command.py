"""The command `submit`: its flags, and what they make of a run."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from refstar_client.async_client import AsyncClient
from refstar_client.errors import RefstarError
from refstar_client.flows import Patience
from refstar_client.submit.journal import Journal
from refstar_client.submit.plan import Wishes, parse_option, plan_items
from refstar_client.submit.report import check_report, write_report
from refstar_client.submit.run import Run, RunError

T = TypeVar("T")

HELP = "restore folders and manifests of photographs on a running service"
EXPLANATION = f"""{HELP}. Run the same command again to go on after an interruption: nothing is submitted twice.
The API key, if the service has keys, is read from REFSTAR_API_KEY."""
DONE, SOME_FAILED, WRONG_USE = 0, 1, 2
JOURNAL = "refstar-journal.jsonl"
MOST_IN_FLIGHT = 256
WITHOUT_TIME = 1_000_000  # tries: only the seconds count


@dataclass(frozen=True)
class Submission:
    """What the flags say; see `refstar-client submit --help`."""

    paths: tuple[Path, ...]
    to: str | None
    output: Path
    common: Wishes
    journal: Path
    report: Path | None
    in_flight: int
    patience: float
    retry_failed: bool
    delete: bool


def add_flags(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("paths", type=Path, nargs="+", metavar="PATH", help="a folder, a picture, or a manifest (CSV)")
    add(
        "--to",
        metavar="URL",
        help="address of the service (default: REFSTAR_URL, else http://127.0.0.1:8000)",
    )
    add("-o", "--output", type=Path, required=True, metavar="FOLDER", help="folder for the results")
    add(
        "-r",
        "--reference",
        type=Path,
        action="append",
        default=[],
        metavar="PICTURE",
        help="a reference for every photograph; repeat for several",
    )
    add(
        "--person",
        metavar="ID",
        action="append",
        default=[],
        help="a stored person for every photograph, instead of references; repeat for several people",
    )
    add(
        "--option",
        type=_checked(parse_option),
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an option of the restoration, such as faces=all or format=png; repeat for several",
    )
    add(
        "--in-flight",
        type=_checked(_parse_in_flight),
        default=8,
        metavar="N",
        help="pictures under way at the same time (default: 8)",
    )
    add(
        "--journal", type=Path, metavar="FILE", help=f"what is done (default: {JOURNAL} in the output folder)"
    )
    add(
        "--report",
        type=_checked(lambda text: check_report(Path(text))),
        metavar="FILE",
        help="what became of every photograph, as .csv or .json",
    )
    add("--retry-failed", action="store_true", help="also try again what failed or was refused")
    add(
        "--delete",
        action="store_true",
        help="delete each restoration from the service once its result is here",
    )
    add(
        "--patience",
        type=float,
        default=600.0,
        metavar="SECONDS",
        help="how long to wait for a service that is away or full before the run ends (default: 600)",
    )


def read_flags(options: argparse.Namespace) -> Submission:
    """Raises ValueError for flags that contradict each other."""
    if options.reference and options.person:
        raise ValueError("--reference and --person cannot both be given")
    for path in options.reference:
        if not path.is_file():
            raise ValueError(f"--reference {path} is no file")
    return Submission(
        paths=tuple(options.paths),
        to=options.to,
        output=options.output,
        common=Wishes(tuple(options.reference), tuple(options.person), dict(options.option)),
        journal=options.journal or options.output / JOURNAL,
        report=options.report,
        in_flight=options.in_flight,
        patience=options.patience,
        retry_failed=options.retry_failed,
        delete=options.delete,
    )


def run_submission(options: argparse.Namespace) -> int:
    """The exit status: 0 all done, 1 some failed or the run could not go on, 2 wrong use."""
    try:
        wanted = read_flags(options)
        items = plan_items(wanted.paths, wanted.common, wanted.output)
        patience = Patience(wanted.patience, WITHOUT_TIME)
        client = AsyncClient(wanted.to, patience=patience)
    except (ValueError, OSError) as error:
        print(f"submit: {error}", file=sys.stderr)
        return WRONG_USE

    async def restore(journal: Journal) -> int:
        async with client:
            run = Run(client, journal, wanted.output, wanted.common, delete=wanted.delete)
            await run.restore(items, wanted.in_flight, wanted.retry_failed)
        outcomes = [journal.entry(item.output).outcome for item in items]
        return DONE if all(one and one["status"] == "succeeded" for one in outcomes) else SOME_FAILED

    try:
        with Journal(wanted.journal) as journal:
            try:
                return asyncio.run(restore(journal))
            finally:
                if wanted.report is not None:
                    write_report(wanted.report, items, journal)
    except KeyboardInterrupt:
        print("submit: interrupted; the same command goes on where this one was", file=sys.stderr)
        return 130
    except RunError as error:
        print(f"submit: {error}\nsubmit: the same command goes on where this one was", file=sys.stderr)
    except (RefstarError, ValueError, OSError) as error:
        print(f"submit: {error}", file=sys.stderr)
    return SOME_FAILED


def _checked(parse: Callable[[str], T]) -> Callable[[str], T]:
    """A type for argparse that says why a value is none."""

    def convert(text: str) -> T:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return convert


def _parse_in_flight(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MOST_IN_FLIGHT:
        raise ValueError(f"{text!r} is not a whole number from 1 to {MOST_IN_FLIGHT}")
    return int(text)
