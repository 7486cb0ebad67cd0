"""Make docs/references/sheet.jpg: what a reference does, the right one, a wrong one and none.

    .venv/bin/python docs/references/make.py --people FOLDER

FOLDER is that of ``people.py``. The mask is what was taken from the right reference: the brighter, the more.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
from drawing import draw_row, draw_titles, restore, save_sheet
from people import another, read_people
from refstar_model.data.degradation import LEVELS, degrade
from refstar_service.settings import Settings

HERE = Path(__file__).parent
MODEL = "refstar"
COLUMNS = (
    "input",
    "right reference",
    "wrong reference",
    "none",
    "mask of right",
    "the reference",
    "the wrong one",
    "truth",
)
SIDE = 200  # of a picture on the sheet


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--people", type=Path, required=True)
    parser.add_argument("--models-dir", type=Path, default=Settings().models_dir)
    parser.add_argument("--out", type=Path, default=HERE / "sheet.jpg")
    arguments = parser.parse_args()
    first, speaking, standing, hopper, collins = read_people(arguments.people, arguments.models_dir)
    cases = [
        ("severe", first, speaking, hopper),
        ("severe", standing, first, collins),
        ("severe", speaking, standing, hopper),
        ("severe", collins, another(collins), hopper),
        ("severe", hopper, another(hopper), collins),
        ("moderate", first, standing, collins),
        ("moderate", collins, another(collins), first),
    ]
    rows = [draw_titles(COLUMNS, SIDE)]
    for index, (level, truth, right, wrong) in enumerate(cases):
        rng = np.random.default_rng(index)
        low_quality = degrade(truth, LEVELS[level](rng), rng)
        with_right, with_wrong, with_none = (
            restore(MODEL, low_quality, references, arguments.models_dir)
            for references in ([right], [wrong], [])
        )
        cells = [low_quality, with_right.picture, with_wrong.picture, with_none.picture]
        assert with_right.selection is not None
        cells += [with_right.selection, right, wrong, truth]
        small = [cv2.resize(c, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for c in cells]
        rows.append(draw_row(level, small))
    save_sheet(arguments.out, np.vstack(rows), 88)


if __name__ == "__main__":
    main()
