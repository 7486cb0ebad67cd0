"""The evaluation on paper: Markdown, JSON, contact sheets."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from refstar_model.evaluation.restorers import fit
from refstar_model.evaluation.study import Record

Pixels = NDArray[np.uint8]
LEVELS = ("severe", "moderate")
COLUMNS = {
    "psnr": ("PSNR", 2),
    "ssim": ("SSIM", 3),
    "identity": ("identity", 3),
    "identity_distinct_pictures": ("truly different", 3),
    "identity_to_reference": ("to the reference", 3),
    "landmarks": ("landmarks", 4),
    "sharpness": ("sharpness", 3),
    "sharpness_outside": ("outside", 3),
    "lpips": ("LPIPS", 3),
    "fid": ("FID", 1),
    "change": ("change", 2),
    "distance_to_input": ("to the input", 2),
    "failures": ("failures", 0),
    "mean_mask": ("mean mask", 3),
}
KNOB_COLUMNS = ("psnr", "identity", "sharpness", "change", "distance_to_input", "mean_mask")
SHEET_HEADS = {
    "others": "input | look-alike's picture | its result | 2 references | 4 references | right + wrong",
    "real": "input | right | wrong | none | reference | same photograph in high resolution",
    "": "input | right | wrong | none | reference | truth",
}
ROWS = 6  # of a sheet


def markdown(table: dict[str, Any]) -> str:
    """The whole table as Markdown."""
    parts = [
        f"{table['cases']} cases of {table['people']} people, seed {table['seed']}. "
        f"LPIPS: {table['lpips']}. FID: {table['fid']}."
    ]
    parts += [level_table(table, level) for level in LEVELS if level in table]
    parts += [_differences(table["differences"][level], level) for level in LEVELS if level in table]
    parts.append(_at_equal_psnr(table))
    for level, turned in _in_order(table.get("knobs", {})):
        rows = {name: row for name, row in turned.items() if name != "cases"}
        parts.append(_table(f"{level}, {turned['cases']} cases", rows, KNOB_COLUMNS))
    for group, rows in table.get("real", {}).items():
        variants = {name: row for name, row in rows.items() if name != "cases"}
        parts.append(_table(f"real, {group}, {rows['cases']} cases", variants, tuple(COLUMNS)))
    parts.append(_bars(table["bars"]))
    return "\n\n".join(parts) + "\n"


def level_table(table: dict[str, Any], level: str) -> str:
    """One level's means as a Markdown table."""
    return _table(level, table[level], tuple(COLUMNS))


def write_report(folder: Path, table: dict[str, Any], records: Sequence[Record]) -> None:
    """``evaluation.md`` and ``evaluation.json`` (with the scores of every picture) in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "evaluation.md").write_text(markdown(table))
    all_of_it = table | {"records": [asdict(r) for r in records]}
    (folder / "evaluation.json").write_text(json.dumps(all_of_it, indent=1) + "\n")


def write_quality(folder: Path, table: dict[str, Any], precision: str = "fp32") -> None:
    """Put what was measured into the folder's ``model.json``: the levels, the real pictures and the bars; for another
    ``precision`` than fp32 the levels, beside it."""
    path = folder / "model.json"
    manifest = json.loads(path.read_text())
    kept = ("cases", "people", *LEVELS, "real", "bars")
    if precision == "fp32":
        manifest["quality"] |= {name: table[name] for name in kept if name in table}
    else:
        manifest["quality"][precision] = {level: table[level] for level in LEVELS}
    path.write_text(json.dumps(manifest, indent=2) + "\n")


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
        head = next(h for kind, h in SHEET_HEADS.items() if sheet.endswith(kind))
        rows = self.rows[sheet]
        number = self.written.get(sheet, 0)
        picture = np.vstack([_line(head, rows[0].shape[1]), *rows])[..., ::-1]
        path = self.folder / f"{sheet}-{number}.png"
        cv2.imwrite(str(path), picture)
        self.written[sheet], self.rows[sheet] = number + 1, []


def _in_order(by_level: dict[str, Any]) -> list[tuple[str, Any]]:
    return [(level, by_level[level]) for level in LEVELS if level in by_level]


def _line(text: str, width: int) -> Pixels:
    strip = np.full((20, width, 3), 255, np.uint8)
    cv2.putText(strip, text, (4, 15), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
    return strip


def _table(title: str, rows: dict[str, Any], columns: Sequence[str]) -> str:
    used = [c for c in columns if any(c in row for row in rows.values())]
    lines = [
        f"| {title} | " + " | ".join(COLUMNS[c][0] for c in used) + " |",
        "|---" * (len(used) + 1) + "|",
    ]
    for name, row in rows.items():
        cells = (f"{row[c]:.{COLUMNS[c][1]}f}" if c in row else "" for c in used)
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _differences(compared: dict[str, Any], level: str) -> str:
    measures = list(dict.fromkeys(m for entry in compared.values() for m in entry))
    lines = [
        f"| {level}, paired differences | " + " | ".join(COLUMNS[m][0] for m in measures) + " |",
        "|---" * (len(measures) + 1) + "|",
    ]
    for name, entry in compared.items():
        cells = []
        for measure in measures:
            d = entry[measure]
            digits = COLUMNS[measure][1]
            cells.append(f"{d['mean']:+.{digits}f} ± {d['standard_error']:.{digits}f}")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _at_equal_psnr(table: dict[str, Any]) -> str:
    lines = [
        "| control at the model's PSNR | its identity | the model's lead | its (PSNR, identity) by growing gain |",
        "|---|---|---|---|",
    ]
    for level, compared in _in_order(table["at_equal_psnr"]):
        for name, found in compared.items():
            curve = ", ".join(f"({p:.2f}, {i:.3f})" for p, i in found["curve"])
            lines.append(f"| {level}, {name} | {found['identity']:.3f} | {found['lead']:+.3f} | {curve} |")
    return "\n".join(lines)


def _bars(bars: Sequence[dict[str, Any]]) -> str:
    met = sum(bar["met"] for bar in bars)
    lines = [
        f"| bars: {met} of {len(bars)} met | measured | bar | |",
        "|---|---|---|---|",
    ]
    for bar in bars:
        sign = "<=" if bar["at_most"] else ">="
        verdict = "met" if bar["met"] else f"**missed by {bar['missed_by']:.3f}**"
        lines.append(
            f"| {bar['level']}: {bar['name']} | {bar['value']:.3f} | {sign} {bar['bar']:.3f} | {verdict} |"
        )
    return "\n".join(lines)
