"""Make docs/references/alone.jpg: faces of every test level, restored without a reference.

    .venv/bin/python docs/references/alone.py --people FOLDER

FOLDER is that of ``make.py``, whose people these are.
"""

import argparse
import tempfile
from pathlib import Path

import cv2
import numpy as np
from make import Pixels, draw_titles, read, read_people
from refstar_model.data.degradation import LONE_LEVELS, degrade
from refstar_service.app.cli import run
from refstar_service.settings import Settings

HERE = Path(__file__).parent
MODEL = "ganprior"
SIDE = 256  # of a picture on the sheet: eyes and mouth, at full size
TITLES = ("input", MODEL, "original")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--people", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=HERE / "alone.jpg")
    arguments = parser.parse_args()
    obama, speaking, standing, hopper, collins = read_people(arguments.people, Settings().models_dir)
    cases = [
        ("severe", obama),
        ("severe", collins),
        ("moderate", standing),
        ("moderate", hopper),
        ("small", speaking),
        ("small", collins),
        ("old", gray(hopper)),
        ("noisy", obama),
    ]
    rows = [draw_row(index, level, truth) for index, (level, truth) in enumerate(cases)]
    half = len(rows) // 2
    sheet = np.hstack([np.vstack([draw_titles(TITLES, SIDE), *part]) for part in (rows[:half], rows[half:])])
    cv2.imwrite(str(arguments.out), sheet[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])
    print(arguments.out, sheet.shape)


def draw_row(index: int, level: str, truth: Pixels) -> Pixels:
    rng = np.random.default_rng(index)
    low_quality = degrade(truth, LONE_LEVELS[level](rng), rng)
    with tempfile.TemporaryDirectory() as name:
        given = Path(name) / "in.png"
        cv2.imwrite(str(given), low_quality[..., ::-1])
        out = Path(name) / "out.png"
        if run(["restore", str(given), "-o", str(out), "--faces", "aligned", "--model", MODEL]) != 0:
            raise SystemExit(f"{MODEL} did not restore the face of level {level}")
        restored = read(out)
    cells = [picture[160:416, 128:384].copy() for picture in (low_quality, restored, truth)]
    cv2.putText(cells[0], level, (6, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 0), 1, cv2.LINE_AA)
    return np.hstack(cells)


def gray(picture: Pixels) -> Pixels:
    return np.repeat(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[..., None], 3, 2)


if __name__ == "__main__":
    main()
