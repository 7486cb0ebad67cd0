"""Make docs/alone/sheet.jpg: faces of every test level, restored without a reference by each model that can.

    .venv/bin/python docs/alone/make.py --people FOLDER

FOLDER holds official photographs of the US government, which are in the public domain: ``obama.jpg``, ``obama2.jpg``
and ``obama3.jpg`` as the source distribution of face_recognition 1.3.0 has them, and ``grace_hopper.jpg`` of
matplotlib's sample data. The astronaut comes with scikit-image. None of these photographs was trained on.
"""

import argparse
import tempfile
from pathlib import Path

import cv2
import numpy as np
import skimage.data
from numpy.typing import NDArray
from refstar_model.data.degradation import LONE_LEVELS, degrade
from refstar_service.app.cli import run
from refstar_service.faces.align import align, cut
from refstar_service.faces.detect import load_detector
from refstar_service.settings import Settings

Pixels = NDArray[np.uint8]
HERE = Path(__file__).parent
MODELS = ("ganprior", "refstar")
SIDE = 256  # of a picture on the sheet: eyes and mouth, at full size
TITLES = ("input", *MODELS, "original")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--people", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=HERE / "sheet.jpg")
    arguments = parser.parse_args()
    detector = load_detector(Settings().models_dir)

    def face(picture: Pixels) -> Pixels:
        largest = max(detector.find(picture), key=lambda f: f.box[2] * f.box[3])
        return cut(picture, align(largest.points, 512))

    obama, speaking, standing, hopper = (
        face(read(arguments.people / f"{name}.jpg")) for name in ("obama", "obama2", "obama3", "grace_hopper")
    )
    collins = face(np.ascontiguousarray(skimage.data.astronaut()))
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
    sheet = np.hstack([np.vstack([draw_titles(), *part]) for part in (rows[:half], rows[half:])])
    cv2.imwrite(str(arguments.out), sheet[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])
    print(arguments.out, sheet.shape)


def draw_row(index: int, level: str, truth: Pixels) -> Pixels:
    rng = np.random.default_rng(index)
    low_quality = degrade(truth, LONE_LEVELS[level](rng), rng)
    with tempfile.TemporaryDirectory() as name:
        given = Path(name) / "in.png"
        cv2.imwrite(str(given), low_quality[..., ::-1])
        results = []
        for model in MODELS:
            out = Path(name) / f"{model}.png"
            if run(["restore", str(given), "-o", str(out), "--faces", "aligned", "--model", model]) != 0:
                raise SystemExit(f"{model} did not restore the face of level {level}")
            results.append(read(out))
    cells = [picture[160:416, 128:384].copy() for picture in (low_quality, *results, truth)]
    cv2.putText(cells[0], level, (6, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 0), 1, cv2.LINE_AA)
    return np.hstack(cells)


def gray(picture: Pixels) -> Pixels:
    return np.repeat(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[..., None], 3, 2)


def draw_titles() -> Pixels:
    strip = np.full((26, SIDE * len(TITLES), 3), 255, np.uint8)
    for index, title in enumerate(TITLES):
        cv2.putText(
            strip, title, (SIDE * index + 6, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (40, 40, 40), 1, cv2.LINE_AA
        )
    return strip


def read(path: Path) -> Pixels:
    picture = cv2.imread(str(path))
    if picture is None:
        raise FileNotFoundError(path)
    return np.ascontiguousarray(picture[..., ::-1])


if __name__ == "__main__":
    main()
