"""Contact sheets: the pictures behind the figures."""

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from refstar_model.evaluation.scores import Scores
from refstar_model.export.restorers import fit

Pixels = NDArray[np.uint8]
Show = Callable[[str, str, Sequence[Pixels]], None]  # sheet, caption, pictures of one row

HEADS = {
    "others": "input | look-alike's picture | its result | 2 references | 4 references | right + wrong",
    "real": "input | right | wrong | none | reference | same photograph in high resolution",
    "people": "input | none | right | reference | truth | what was taken",
    "reference": "input | none | right | reference | truth",
    "alone": "input | none | truth",
    "": "input | right | wrong | none | reference | truth",
}
ROWS = 6  # of a sheet


class Sheets:
    """Contact sheets of six rows, written to ``folder`` as they fill up; ``close`` writes the rest."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.rows: dict[str, list[Pixels]] = {}
        self.written: dict[str, int] = {}

    def show(self, sheet: str, caption: str, pictures: Sequence[Pixels]) -> None:
        row = np.hstack([fit(p, 256) for p in pictures])
        self.rows.setdefault(sheet, []).append(np.vstack([_line(caption, row.shape[1]), row]))
        if len(self.rows[sheet]) == ROWS:
            self._write(sheet)

    def close(self) -> None:
        for sheet, rows in self.rows.items():
            if rows:
                self._write(sheet)

    def _write(self, sheet: str) -> None:
        head = next(h for kind, h in HEADS.items() if sheet.endswith(kind))
        rows = self.rows[sheet]
        number = self.written.get(sheet, 0)
        picture = np.vstack([_line(head, rows[0].shape[1]), *rows])[..., ::-1]
        path = self.folder / f"{sheet}-{number}.png"
        cv2.imwrite(str(path), picture)
        self.written[sheet], self.rows[sheet] = number + 1, []


class WorstRows:
    """Keeps the rows with the lowest values, and shows them worst first: one sheet for the eye."""

    def __init__(self, show: Show | None, sheet: str, count: int = ROWS) -> None:
        self.show, self.sheet, self.count = show, sheet, count
        self.kept: list[tuple[float, str, Sequence[Pixels]]] = []

    def add(self, value: float, caption: str, pictures: Sequence[Pixels]) -> None:
        if self.show is not None:
            self.kept.append((value, caption, pictures))
            self.kept = sorted(self.kept, key=lambda row: row[:2])[: self.count]

    def close(self) -> None:
        if self.show is not None:
            for _, caption, pictures in self.kept:
                self.show(self.sheet, caption, pictures)


def identity_caption(name: str, scored: dict[str, Scores], variants: Sequence[str]) -> str:
    """The name; behind it the identity of each variant, where a recognizer judged."""
    values = {v: scored.get(v, {}) for v in variants}
    found = {v: s.get("identity", s.get("identity_to_reference")) for v, s in values.items()}
    said = ", ".join(f"{v} {value:.2f}" for v, value in found.items() if value is not None)
    return f"{name}   identity: {said}" if said else name


def _line(text: str, width: int) -> Pixels:
    strip = np.full((20, width, 3), 255, np.uint8)
    cv2.putText(strip, text, (4, 15), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
    return strip
