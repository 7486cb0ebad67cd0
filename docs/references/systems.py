"""Make docs/references/systems.jpg: what each shipped system makes of the same faces.

    .venv/bin/python docs/references/systems.py --people FOLDER

FOLDER is that of ``people.py``.
"""

import argparse
from pathlib import Path

import numpy as np
from drawing import cut_middle, draw_row, draw_titles, restore, save_sheet
from people import another, gray, read_people
from refstar_model.data.degradation import LONE_LEVELS, degrade
from refstar_service.settings import Settings

HERE = Path(__file__).parent
WITHOUT = "ganprior"
WITH = ("refstar", "ented")
TITLES = ("input", WITHOUT, *WITH, "the reference", "original")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--people", type=Path, required=True)
    parser.add_argument("--models-dir", type=Path, default=Settings().models_dir)
    parser.add_argument("--out", type=Path, default=HERE / "systems.jpg")
    arguments = parser.parse_args()
    obama, speaking, standing, hopper, collins = read_people(arguments.people, arguments.models_dir)
    cases = [
        ("severe", obama, speaking),
        ("severe", speaking, standing),
        ("severe", collins, another(collins)),
        ("moderate", standing, obama),
        ("moderate", hopper, another(hopper)),
        ("old", gray(hopper), gray(another(hopper))),
    ]
    rows = []
    for index, (level, truth, reference) in enumerate(cases):
        rng = np.random.default_rng(index)
        low_quality = degrade(truth, LONE_LEVELS[level](rng), rng)
        made = [restore(WITHOUT, low_quality, [], arguments.models_dir)]
        made += [restore(model, low_quality, [reference], arguments.models_dir) for model in WITH]
        cells = [low_quality, *(one.picture for one in made), reference, truth]
        rows.append(draw_row(level, [cut_middle(cell) for cell in cells]))
    save_sheet(arguments.out, np.vstack([draw_titles(TITLES, rows[0].shape[0]), *rows]))


if __name__ == "__main__":
    main()
