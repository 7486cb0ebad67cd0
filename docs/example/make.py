"""Make the README's pictures: degraded.jpg, reference.jpg, and example.png from a restoration of them.

    .venv/bin/python docs/example/make.py --people FOLDER

FOLDER holds ``obama.jpg`` and ``obama2.jpg`` as the source distribution of face_recognition 1.3.0 has them: two
official photographs of the US government, taken years apart, and in the public domain. Neither was trained on.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from refstar_model.data.degradation import Chain, Family, Jpeg, Recipe, degrade
from refstar_service.app.cli import run
from refstar_service.faces.align import align, cut
from refstar_service.faces.detect import load_detector
from refstar_service.settings import Settings

Pixels = NDArray[np.uint8]
HERE = Path(__file__).parent
SIDE = 256  # of a picture in example.png
TITLES = ("degraded", "reference", "restored with it", "restored without", "the original")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--people", type=Path, required=True)
    people: Path = parser.parse_args().people
    original, reference = (read_face(people / name) for name in ("obama.jpg", "obama2.jpg"))
    chain = Chain(blur=8, down=11, noise=8, jpeg=Jpeg(60))
    degraded = degrade(original, Recipe(Family.PRESENT, chain), np.random.default_rng(3))
    save(HERE / "degraded.jpg", degraded)
    save(HERE / "reference.jpg", reference)
    results = [restore("-r", str(HERE / "reference.jpg")), restore()]
    row = [
        draw_cell(picture, title)
        for picture, title in zip([degraded, reference, *results, original], TITLES, strict=True)
    ]
    save(HERE / "example.png", np.hstack(row))


def restore(*options: str) -> Pixels:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.png"
        if run(["restore", str(HERE / "degraded.jpg"), "-o", str(out), "--faces", "aligned", *options]) != 0:
            sys.exit(1)
        return read(out)


def draw_cell(picture: Pixels, title: str) -> Pixels:
    cell = np.full((SIDE + 24, SIDE, 3), 255, np.uint8)
    cell[:SIDE] = cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    cv2.putText(cell, title, (6, SIDE + 17), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (40, 40, 40), 1, cv2.LINE_AA)
    return cell


def read_face(path: Path) -> Pixels:
    """The largest face, aligned at 512."""
    picture = read(path)
    found = load_detector(Settings().models_dir).find(picture)
    return cut(picture, align(max(found, key=lambda face: face.box[2] * face.box[3]).points, 512))


def read(path: Path) -> Pixels:
    picture = cv2.imread(str(path))
    if picture is None:
        sys.exit(f"{path} cannot be read")
    return np.ascontiguousarray(picture[..., ::-1])


def save(path: Path, pixels: Pixels) -> None:
    options = [cv2.IMWRITE_JPEG_QUALITY, 92] if path.suffix == ".jpg" else [cv2.IMWRITE_PNG_COMPRESSION, 9]
    cv2.imwrite(str(path), pixels[..., ::-1], options)


if __name__ == "__main__":
    main()
