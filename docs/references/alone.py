"""Make docs/references/alone.jpg: faces of every test level, restored without a reference.

    .venv/bin/python docs/references/alone.py --people FOLDER

FOLDER is that of ``people.py``.
"""

import argparse
from pathlib import Path

import numpy as np
from drawing import cut_middle, draw_row, draw_titles, restore, save_sheet
from people import gray, read_people
from refstar_model.data.degradation import LONE_LEVELS, degrade
from refstar_service.settings import Settings

HERE = Path(__file__).parent
MODEL = "ganprior"
TITLES = ("input", MODEL, "original")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--people", type=Path, required=True)
    parser.add_argument("--models-dir", type=Path, default=Settings().models_dir)
    parser.add_argument("--out", type=Path, default=HERE / "alone.jpg")
    arguments = parser.parse_args()
    obama, speaking, standing, hopper, collins = read_people(arguments.people, arguments.models_dir)
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
    rows = []
    for index, (level, truth) in enumerate(cases):
        rng = np.random.default_rng(index)
        low_quality = degrade(truth, LONE_LEVELS[level](rng), rng)
        restored = restore(MODEL, low_quality, [], arguments.models_dir).picture
        rows.append(draw_row(level, [cut_middle(p) for p in (low_quality, restored, truth)]))
    half = len(rows) // 2
    side = rows[0].shape[0]
    sheet = np.hstack([np.vstack([draw_titles(TITLES, side), *part]) for part in (rows[:half], rows[half:])])
    save_sheet(arguments.out, sheet)


if __name__ == "__main__":
    main()
