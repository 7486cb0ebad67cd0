"""Make docs/references/sheet.jpg: what a reference does, the right one, a wrong one and none.

    .venv/bin/python docs/references/make.py --people FOLDER

FOLDER holds official photographs of the US government, which are in the public domain: ``obama.jpg``, ``obama2.jpg``
and ``obama3.jpg`` as the source distribution of face_recognition 1.3.0 has them, and ``grace_hopper.jpg`` of
matplotlib's sample data. The astronaut comes with scikit-image. None of these photographs was trained on. Only of one
of the people is there more than one photograph; the others' references are their own photograph mirrored, turned and
relit.

The mask is what was taken from the right reference: the brighter, the more.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import skimage.data
from numpy.typing import NDArray
from refstar_model.data.degradation import LEVELS, degrade
from refstar_service.app.cli import run
from refstar_service.faces.align import align, cut
from refstar_service.faces.detect import load_detector
from refstar_service.settings import Settings

Pixels = NDArray[np.uint8]
HERE = Path(__file__).parent
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
        rows.append(
            row(level, degrade(truth, LEVELS[level](rng), rng), right, wrong, truth, arguments.models_dir)
        )
    sheet = np.vstack(rows)
    cv2.imwrite(str(arguments.out), sheet[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])
    print(arguments.out, sheet.shape)


def read_people(folder: Path, models: Path) -> list[Pixels]:
    """Aligned faces [512, 512, 3]: Barack Obama three times, Grace Hopper, Eileen Collins."""
    detector = load_detector(models)
    names = ("obama", "obama2", "obama3", "grace_hopper")
    photographs = [read(folder / f"{name}.jpg") for name in names]
    photographs.append(np.ascontiguousarray(skimage.data.astronaut()))
    faces = []
    for picture in photographs:
        largest = max(detector.find(picture), key=lambda f: f.box[2] * f.box[3])
        faces.append(cut(picture, align(largest.points, 512)))
    return faces


def row(level: str, low_quality: Pixels, right: Pixels, wrong: Pixels, truth: Pixels, models: Path) -> Pixels:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, picture in (("in", low_quality), ("right", right), ("wrong", wrong)):
            cv2.imwrite(str(folder / f"{file}.png"), picture[..., ::-1])
        results = {}
        for which in ("right", "wrong", "none"):
            arguments = [
                "restore",
                str(folder / "in.png"),
                "-o",
                str(folder / f"out-{which}.png"),
                "--faces",
                "aligned",
                "--model",
                "refstar",
            ]
            arguments += ["--models-dir", str(models), "--selection", str(folder / f"mask-{which}.png")]
            if which != "none":
                arguments += ["-r", str(folder / f"{which}.png")]
            if run(arguments) != 0:
                raise SystemExit(f"the face with reference {which!r} was not restored")
            results[which] = read(folder / f"out-{which}.png")
        mask = read(folder / "mask-right.png")
    cells = [low_quality, results["right"], results["wrong"], results["none"], mask, right, wrong, truth]
    small = [cv2.resize(c, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for c in cells]
    cv2.putText(small[0], level, (6, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 0), 1, cv2.LINE_AA)
    return np.hstack(small)


def another(face: Pixels) -> Pixels:
    """A poor man's second photograph."""
    matrix = cv2.getRotationMatrix2D((256, 300), 3, 1.02)
    turned = cv2.warpAffine(
        np.ascontiguousarray(face[:, ::-1]),
        matrix,
        (512, 512),
        flags=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    return np.asarray(np.clip(turned * np.array([1.05, 0.95, 0.85]), 0, 255), np.uint8)


def draw_titles(columns: Sequence[str], side: int) -> Pixels:
    """A strip [26, side * columns, 3] that goes above pictures of ``side`` pixels."""
    strip = np.full((26, side * len(columns), 3), 255, np.uint8)
    for index, title in enumerate(columns):
        cv2.putText(
            strip, title, (side * index + 6, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (40, 40, 40), 1, cv2.LINE_AA
        )
    return strip


def read(path: Path) -> Pixels:
    picture = cv2.imread(str(path))
    if picture is None:
        raise FileNotFoundError(path)
    return np.ascontiguousarray(picture[..., ::-1])


if __name__ == "__main__":
    main()
