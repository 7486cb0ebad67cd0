"""What several commands ask for: photographs, and where they are by default."""

import argparse
from pathlib import Path

from refstar_model.data.pack import open_photos
from refstar_model.data.photos import PhotoSet, roots_from_environment


def add_data(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument(
        "--data",
        type=Path,
        action="append",
        help=f"{what}; may be given several times (default: all folders that REFSTAR_DATA names)",
    )


def open_named_photos(arguments: argparse.Namespace) -> PhotoSet:
    """The photographs of --data, else of REFSTAR_DATA; leaves the program where neither names any."""
    folders = arguments.data or roots_from_environment()
    if not folders:
        raise SystemExit(
            "refstar-model: --data is missing: it names a data folder, which refstar-model prepare makes of your own "
            "photographs (or set REFSTAR_DATA to a folder that holds such folders)"
        )
    return open_photos(folders)
