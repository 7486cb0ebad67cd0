"""Make docs/alone/sheet.jpg: faces restored without any reference, by the model that is the default there.

    .venv/bin/python docs/alone/make.py --people FOLDER

FOLDER holds official photographs of the US government, which are in the public domain: ``obama.jpg`` and ``obama2.jpg``
as the source distribution of face_recognition 1.3.0 has them, and ``grace_hopper.jpg`` of matplotlib's sample data. The
astronaut comes with scikit-image. None of these photographs was trained on. What was good already is shown too: it
should come back as it was. Faces are restored as the network draws them; a service keeps some of them out
(docs/faces.md).
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
COLUMNS = ("input", "restored", "truth")
SIDE = 320  # of a picture on the sheet
CLEAN = "clean"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--people", type=Path, required=True)
    parser.add_argument("--models-dir", type=Path, default=Settings().models_dir)
    parser.add_argument("--out", type=Path, default=HERE / "sheet.jpg")
    arguments = parser.parse_args()
    detector = load_detector(arguments.models_dir)

    def face(picture: Pixels) -> Pixels:
        largest = max(detector.find(picture), key=lambda f: f.box[2] * f.box[3])
        return cut(picture, align(largest.points, 512))

    obama, speaking, hopper = (
        face(read(arguments.people / f"{name}.jpg")) for name in ("obama", "obama2", "grace_hopper")
    )
    collins = face(np.ascontiguousarray(skimage.data.astronaut()))
    gray = np.repeat(cv2.cvtColor(hopper, cv2.COLOR_RGB2GRAY)[..., None], 3, 2)
    cases = [
        ("severe", obama),
        ("severe", collins),
        ("moderate", speaking),
        ("moderate", hopper),
        ("old", gray),
        ("small", collins),
        ("noisy", obama),
        (CLEAN, hopper),
    ]
    made = []
    for index, (level, truth) in enumerate(cases):
        rng = np.random.default_rng(index)
        low_quality = truth if level == CLEAN else degrade(truth, LONE_LEVELS[level](rng), rng)
        cells = [low_quality, restore(low_quality, arguments.models_dir), truth]
        made.append(row(level, cells))
    # Two cases side by side.
    sheet = np.vstack(
        [np.hstack([titles(), titles()]), *(np.hstack(made[i : i + 2]) for i in range(0, 8, 2))]
    )
    cv2.imwrite(str(arguments.out), sheet[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])
    print(arguments.out, sheet.shape)


def restore(low_quality: Pixels, models: Path) -> Pixels:
    with tempfile.TemporaryDirectory() as name:
        given, made = Path(name) / "in.png", Path(name) / "out.png"
        cv2.imwrite(str(given), low_quality[..., ::-1])
        asked = ["restore", str(given), "-o", str(made), "--faces", "aligned", "--no-keep", "--no-grain"]
        if run([*asked, "--models-dir", str(models)]) != 0:
            raise SystemExit("a face was not restored")
        return read(made)


def row(level: str, cells: list[Pixels]) -> Pixels:
    small = [cv2.resize(c, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for c in cells]
    cv2.putText(small[0], level, (8, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (255, 255, 0), 1, cv2.LINE_AA)
    return np.hstack(small)


def titles() -> Pixels:
    strip = np.full((26, SIDE * len(COLUMNS), 3), 255, np.uint8)
    for index, title in enumerate(COLUMNS):
        place = (SIDE * index + 6, 18)
        cv2.putText(strip, title, place, cv2.FONT_HERSHEY_SIMPLEX, 0.5, (40, 40, 40), 1, cv2.LINE_AA)
    return strip


def read(path: Path) -> Pixels:
    picture = cv2.imread(str(path))
    if picture is None:
        raise FileNotFoundError(path)
    return np.ascontiguousarray(picture[..., ::-1])


if __name__ == "__main__":
    main()
