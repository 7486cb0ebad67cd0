"""What cannot be meant, told before anything is restored."""

import sys
from collections.abc import Sequence
from pathlib import Path

from refstar_service.app.restore.journal import Journal
from refstar_service.app.restore.report import show
from refstar_service.app.restore.targets import exists
from refstar_service.app.restore.wanted import Existing, RestoreFiles


def check_files(wanted: RestoreFiles, sources: Sequence[Path]) -> None:
    """Raise ValueError for what cannot be meant."""
    if wanted.input.is_dir():
        _check_folder(wanted)
    elif wanted.journal is not None or wanted.recursive or wanted.retry_failed:
        raise ValueError(
            f"--recursive, --journal and --retry-failed are for folders, not for {show(wanted.input)}"
        )
    if wanted.output is None and wanted.as_json:
        raise ValueError("-o - and --json would both write to standard output: choose a file for one of them")
    if wanted.output is None and sys.stdout.isatty():
        raise ValueError(
            "-o - writes a picture to standard output, which is a terminal: redirect it to a file"
        )
    if wanted.into_folder and wanted.output is not None and wanted.output.is_file():
        raise ValueError(f"{show(wanted.output)} is a file; the results need a folder")
    read = {path.resolve() for path in (*sources, *wanted.references)}
    output = wanted.output
    if output is not None and wanted.into_folder and not wanted.input.is_dir():
        output = output / wanted.input.name
    written = {"--output": output, "--selection": wanted.selection, "--report": wanted.report}
    paths = {flag: path.resolve() for flag, path in written.items() if path is not None}
    for flag, path in paths.items():
        if path in read:
            raise ValueError(
                f"{flag} {show(written[flag])} is also an input and would be overwritten: choose another file"
            )
    if len(set(paths.values())) < len(paths):
        raise ValueError(f"{', '.join(paths)} name the same file")
    if (
        wanted.selection is not None
        and wanted.existing is not Existing.OVERWRITE
        and exists(wanted.selection)
    ):
        raise ValueError(f"--selection {_say_exists(wanted.selection)}")


def _check_folder(wanted: RestoreFiles) -> None:
    if wanted.selection is not None:
        raise ValueError("--selection works for a single picture, not for a folder")
    if wanted.output is None:
        raise ValueError("-o - works for a single picture, not for a folder")
    if wanted.output.resolve() == wanted.input.resolve():
        raise ValueError(
            f"the results would lie among the pictures in {show(wanted.input)}: choose another folder"
        )


def check_report(wanted: RestoreFiles, journal: Journal | None) -> None:
    """Raise ValueError for a report that would overwrite anything but that of an earlier run."""
    report = wanted.report
    if report is None or wanted.existing is Existing.OVERWRITE or not exists(report):
        return
    if journal is None or not journal.wrote(report):
        raise ValueError(f"--report {_say_exists(report)}")


def _say_exists(path: Path) -> str:
    return f"{show(path)} exists: choose another name, or --overwrite"
