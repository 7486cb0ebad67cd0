"""What the sheets of this folder have in common: aligned faces restored by a model, and columns with titles."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from people import Pixels, read
from refstar_service.app.cli import run


class Restored(NamedTuple):
    picture: Pixels
    selection: Pixels | None  # what was taken from the references, if any: the brighter, the more


def restore(model: str, low_quality: Pixels, references: Sequence[Pixels], models: Path) -> Restored:
    """As ``refstar restore --faces aligned`` does it, faces [512, 512, 3]; exits where that fails."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder / "in.png", low_quality)
        options = ["-o", str(folder / "out.png"), "--faces", "aligned"]
        options += ["--model", model, "--models-dir", str(models)]
        for index, reference in enumerate(references):
            file = folder / f"reference{index}.png"
            write(file, reference)
            options += ["-r", str(file), "--selection", str(folder / "selection.png")]
        if run(["restore", str(folder / "in.png"), *options]) != 0:
            raise SystemExit(f"{model} did not restore a face with {len(references)} references")
        selection = read(folder / "selection.png") if (folder / "selection.png").is_file() else None
        return Restored(read(folder / "out.png"), selection)


def draw_titles(columns: Sequence[str], side: int) -> Pixels:
    """A strip [26, side * columns, 3] that goes above pictures of ``side`` pixels."""
    strip = np.full((26, side * len(columns), 3), 255, np.uint8)
    for index, title in enumerate(columns):
        _put(strip, title, (side * index + 6, 18), (40, 40, 40))
    return strip


def draw_row(level: str, cells: Sequence[Pixels]) -> Pixels:
    """Pictures of one size side by side, with the ``level`` written into the first one."""
    first = cells[0].copy()
    _put(first, level, (6, 16), (255, 255, 0))
    return np.hstack([first, *cells[1:]])


def cut_middle(picture: Pixels) -> Pixels:
    """Eyes, nose and mouth of an aligned face: [256, 256, 3], at full size."""
    return picture[160:416, 128:384]


def save_sheet(file: Path, sheet: Pixels, quality: int = 90) -> None:
    cv2.imwrite(str(file), sheet[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    print(file, sheet.shape)


def write(file: Path, picture: Pixels) -> None:
    cv2.imwrite(str(file), picture[..., ::-1])


def _put(picture: Pixels, text: str, place: tuple[int, int], color: tuple[int, int, int]) -> None:
    cv2.putText(picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.5, color, 1, cv2.LINE_AA)
