"""The evaluation on paper: Markdown and JSON."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from refstar_model.evaluation.records import Record
from refstar_model.export.manifest import write_manifest

LEVELS = ("severe", "moderate")
#: Heading and digits.
COLUMNS = {
    "cases": ("cases", 0),
    "psnr": ("PSNR", 2),
    "gain": ("PSNR gain", 2),
    "worst_gain": ("worst tenth", 2),
    "no_worse": ("no worse", 2),
    "to_input": ("PSNR to the input", 1),
    "between": ("between the bars", 1),
    "input_psnr": ("input's PSNR", 2),
    "input_identity": ("input's identity", 3),
    "worst_psnr": ("worst tenth", 2),
    "ssim": ("SSIM", 3),
    "worst_ssim": ("worst tenth", 3),
    "identity": ("identity", 3),
    "worst_identity": ("worst tenth", 3),
    "identity_distinct_pictures": ("truly different", 3),
    "identity_to_reference": ("to the reference", 3),
    "second_input": ("second recognizer, input", 3),
    "second": ("second recognizer", 3),
    "second_same": ("below 0.6", 2),
    "landmarks": ("landmarks", 4),
    "lips": ("lips", 4),
    "lids": ("lids", 4),
    "mouth_openness": ("mouth's openness", 4),
    "mouth_copied": ("mouth copied", 2),
    "eye_openness": ("eyes' openness", 4),
    "eyes_unlike": ("eyes unlike", 2),
    "lids_apart": ("lids apart", 2),
    "irises_apart": ("irises apart", 2),
    "iris_light_apart": ("their light apart", 2),
    "sharpness": ("sharpness", 3),
    "sharpness_outside": ("outside", 3),
    "pattern": ("pattern", 1),
    "input_pattern": ("input's pattern", 1),
    "common_pattern": ("common pattern", 1),
    "hatching": ("hatching, dB", 1),
    "lpips": ("LPIPS", 3),
    "fid": ("FID", 1),
    "change": ("change", 2),
    "distance_to_input": ("to the input", 2),
    "failures": ("failures", 0),
    "mean_mask": ("mean mask", 3),
    "same_person": ("same person", 3),
    "likeness": ("likeness", 3),
    "mistaken": ("mistaken", 3),
    "right_share": ("right person", 3),
    "apart": ("apart", 3),
    "pairs": ("pairs", 0),
    "strangers": ("strangers' pairs", 0),
    "area": ("area", 3),
    "right": ("right", 3),
    "wrong": ("stranger's", 3),
    "refused": ("right ones refused", 3),
    "let_in": ("strangers let in", 3),
}
LEVEL_COLUMNS = (
    *("psnr", "ssim", "identity", "identity_distinct_pictures", "identity_to_reference", "landmarks"),
    *("sharpness", "sharpness_outside", "lpips", "fid", "failures", "mean_mask"),
)
#: Of a face's own left against its own right: shown in multiples of the truth's.
OWN_EYES = ("eyes_unlike", "lids_apart", "irises_apart", "iris_light_apart")
PART_COLUMNS = (
    *("second", "second_same", "lips", "lids", "mouth_openness", "mouth_copied", "eye_openness"),
    *OWN_EYES,
    *("pattern", "common_pattern", "hatching"),
)
KNOB_COLUMNS = ("psnr", "identity", "sharpness", "change", "distance_to_input", "mean_mask")
VIEW_COLUMNS = (
    *("psnr", "identity", "second", "landmarks", "lips", "lids", "sharpness", "pattern", "failures"),
    *("mean_mask", "same_person", "mistaken"),
)
GATE_COLUMNS = ("cases", "same_person", "likeness", "mistaken", "right_share", "apart")
GATE_VIEW_COLUMNS = ("pairs", "strangers", "area", "right", "wrong", "refused", "let_in")
HARM_COLUMNS = (
    *("cases", "psnr", "worst_psnr", "ssim", "worst_ssim", "identity", "worst_identity", "second"),
    *("sharpness", "sharpness_outside", "pattern", "input_pattern", "common_pattern", "hatching", "failures"),
)
DIFFERING_COLUMNS = ("cases", "mean_mask", "gain")
KIND_COLUMNS = (
    *("cases", "gain", "identity", "second_input", "second", "second_same"),
    *("sharpness", "pattern", "failures"),
)
SUPER_RESOLUTION_COLUMNS = (
    *("psnr", "gain", "ssim", "identity", "second", "second_same", "lpips", "sharpness", "sharpness_outside"),
    *("pattern", "common_pattern", "hatching", "failures"),
)
OCCLUDED_COLUMNS = (
    *("cases", "input_psnr", "gain", "worst_gain", "no_worse", "to_input", "between", "input_identity"),
    *("identity", "failures"),
)


def markdown(table: dict[str, Any]) -> str:
    """The whole table as Markdown."""
    cases = f"{table['cases']} cases of {table['people']} people, " if table["cases"] else ""
    about = (
        f"{cases}seed {table['seed']}. Identity: {table['identity']}. LPIPS: {table['lpips']}. FID: {table['fid']}. "
        f"Second recognizer: {table['second_recognizer']}."
    )
    compared = list(_difference_tables(table))
    return (
        "\n\n".join([about, *(part for section in tables(table).values() for part in section), *compared])
        + "\n"
    )


def tables(table: Mapping[str, Any]) -> dict[str, list[str]]:
    """The Markdown tables of what was measured, by section; of a table of `evaluate`, or of what `write_quality` has
    kept of one."""
    old = table.get("old")
    return {
        "levels": list(_level_tables(table)),
        "old-parts": [parts_table(_means(old), _title_old(old))] if old else [],
        "knobs": [
            _table(f"{level}, {turned['cases']} cases", _means(turned), KNOB_COLUMNS)
            for level, turned in _in_order(table.get("knobs", {}))
        ],
        "gate": list(_gate_tables(table)),
        "views": [
            _table(f"{level}, {group}, {rows['cases']} cases", _means(rows), VIEW_COLUMNS)
            for level, groups in _in_order(table.get("views", {}))
            for group, rows in groups.items()
        ],
        "parts": [
            _table(f"{level}, parts of pairs that were checked by eye", parts_of, DIFFERING_COLUMNS)
            for level, parts_of in _in_order(table.get("parts", {}))
        ],
        "real": list(_real_tables(table, "", LEVEL_COLUMNS)),
        "real-parts": list(_real_tables(table, ", mouth and eyes", PART_COLUMNS)),
        "harm": _table_of(table, "harm", "do no harm, to the input itself", HARM_COLUMNS),
        "kinds": [
            _table(f"{level}, by kind, without a reference", groups, KIND_COLUMNS)
            for level, groups in _in_order(table.get("kinds", {}))
        ],
        "super-resolution": [
            _table(f"super-resolution {factor}, {of['cases']} cases", _means(of), SUPER_RESOLUTION_COLUMNS)
            for factor, of in table.get("super_resolution", {}).items()
        ],
        "occluded": _table_of(table, "occluded", "behind something regular, of the face", OCCLUDED_COLUMNS),
        "bars": [_bars(table["bars"])] if table.get("bars") else [],
    }


def _level_tables(table: Mapping[str, Any]) -> Iterator[str]:
    there = [level for level in LEVELS if level in table]
    yield from (level_table(table, level) for level in there)
    yield from (parts_table(table[level], level) for level in there)
    if of_old := table.get("old"):
        yield _table(_title_old(of_old), _means(of_old), LEVEL_COLUMNS)


def _title_old(of_old: Mapping[str, Any]) -> str:
    return f"old, {of_old['cases']} cases"


def _real_tables(table: Mapping[str, Any], title: str, columns: Sequence[str]) -> Iterator[str]:
    for group, rows in table.get("real", {}).items():
        yield _table(f"real, {group}, {rows['cases']} cases{title}", _means(rows), columns)


def _gate_tables(table: Mapping[str, Any]) -> Iterator[str]:
    for level, told in _in_order(table.get("gate", {})):
        rows = told["means"] | {f"same person, {tenth}": row for tenth, row in told["reliability"].items()}
        yield _table(f"{level}, who references show", rows, GATE_COLUMNS)
    for level, rows in _in_order(table.get("gate_views", {})):
        yield _table(f"{level}, who references show, by side", rows, GATE_VIEW_COLUMNS)


def _difference_tables(table: Mapping[str, Any]) -> Iterator[str]:
    yield from (_differences(table["differences"][level], level) for level in LEVELS if level in table)
    if of_old := table.get("old"):
        yield _differences(of_old["differences"], _title_old(of_old))
    if any(table.get("at_equal_psnr", {}).values()):
        yield _at_equal_psnr(table)


def _table_of(table: Mapping[str, Any], name: str, title: str, columns: Sequence[str]) -> list[str]:
    """That of a section that is one table, where it was measured."""
    return [_table(title, table[name], columns)] if table.get(name) else []


def _means(measured: Mapping[str, Any]) -> Mapping[str, Any]:
    """By variant; of a section that has them by a name of their own, or beside the number of its cases."""
    return measured.get("means") or {name: row for name, row in measured.items() if name != "cases"}


def level_table(table: Mapping[str, Any], level: str) -> str:
    """One level's means as a Markdown table."""
    return _table(level, table[level], LEVEL_COLUMNS)


def parts_table(variants: Mapping[str, Any], title: str) -> str:
    """Second recognizer, mouth, eyes and pattern; how far the eyes differ in multiples of the truth's own value."""
    own = variants.get("truth", {})
    rows = {
        name: {
            m: value / own[m] if m in OWN_EYES and own.get(m) else value
            for m, value in row.items()
            if m not in OWN_EYES or own.get(m)
        }
        for name, row in variants.items()
    }
    return _table(f"{title}, parts", rows, PART_COLUMNS)


def write_report(folder: Path, table: dict[str, Any], records: Sequence[Record]) -> None:
    """``evaluation.md`` and ``evaluation.json`` (with the scores of every picture) in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "evaluation.md").write_text(markdown(table))
    all_of_it = table | {"records": [asdict(r) for r in records]}
    (folder / "evaluation.json").write_text(json.dumps(all_of_it, indent=1) + "\n")


def write_quality(folder: Path, table: dict[str, Any], precision: str = "fp32") -> None:
    """Put what was measured into the folder's ``model.json``: all means and the bars; for another ``precision`` than
    fp32 the levels, beside it. Sections that were not measured stay as they are."""
    path = folder / "model.json"
    manifest = json.loads(path.read_text())
    kept = (
        *(
            "cases",
            "people",
            *LEVELS,
            "gate",
            "gate_views",
            "views",
            "parts",
            "real",
            "harm",
            "kinds",
            "occluded",
        ),
        "bars",
    )
    if precision == "fp32":
        manifest["quality"] |= {name: table[name] for name in kept if table.get(name)}
        if table.get("old"):
            manifest["quality"]["old"] = {"cases": table["old"]["cases"]} | table["old"]["means"]
        if small := table.get("super_resolution"):
            manifest["quality"]["super_resolution"] = {
                factor: {"cases": of["cases"]} | of["means"] for factor, of in small.items()
            }
    elif measured := {level: table[level] for level in LEVELS if level in table}:
        manifest["quality"][precision] = measured
    write_manifest(path, manifest)


def _in_order(by_level: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(level, by_level[level]) for level in LEVELS if level in by_level]


def _table(title: str, rows: Mapping[str, Any], columns: Sequence[str]) -> str:
    used = [c for c in columns if any(c in row for row in rows.values())]
    lines = [
        f"| {title} | " + " | ".join(COLUMNS[c][0] for c in used) + " |",
        "|---" * (len(used) + 1) + "|",
    ]
    for name, row in rows.items():
        if not any(c in row for c in used):
            continue
        cells = (f"{row[c]:.{COLUMNS[c][1]}f}" if c in row else "" for c in used)
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _differences(compared: Mapping[str, Any], level: str) -> str:
    measures = list(dict.fromkeys(m for entry in compared.values() for m in entry))
    lines = [
        f"| {level}, paired differences | " + " | ".join(COLUMNS[m][0] for m in measures) + " |",
        "|---" * (len(measures) + 1) + "|",
    ]
    for name, entry in compared.items():
        cells = []
        for measure in measures:
            d = entry.get(measure)
            digits = COLUMNS[measure][1]
            cells.append(f"{d['mean']:+.{digits}f} ± {d['standard_error']:.{digits}f}" if d else "")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _at_equal_psnr(table: Mapping[str, Any]) -> str:
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
