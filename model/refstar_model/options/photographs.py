"""What several commands ask for: photographs and teacher models, and where they are by default."""

import argparse
from pathlib import Path

from refstar_model.data.pack import open_photos
from refstar_model.data.photos import PhotoSet, roots_from_environment

MISSING = "(or set REFSTAR_DATA to the folder that holds faces/ and models/)"
#: Below a folder that REFSTAR_DATA names.
JUDGE, TEACHER = Path("models/mobileface/mobileface_v2.onnx"), Path("models/mobileface/mobileface_v3.onnx")
TEACHERS = Path("models")


def add_data(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument(
        "--data",
        type=Path,
        action="append",
        help=f"{what}; may be given several times (default: all folders that REFSTAR_DATA names)",
    )


def find_model(part: Path) -> Path | None:
    """A path below a folder that REFSTAR_DATA names; the first one's where none has it, None where it is not set."""
    paths = [root / part for root in roots_from_environment()]
    return next((path for path in paths if path.exists()), paths[0] if paths else None)


def open_named_photos(arguments: argparse.Namespace) -> PhotoSet:
    """The photographs of --data, else of REFSTAR_DATA; leaves the program where neither names any."""
    folders = arguments.data or roots_from_environment()
    if not folders:
        raise SystemExit(f"--data is missing {MISSING}")
    return open_photos(folders)
