"""Write the tables of the model cards, and of docs/choosing-a-model.md, from what each folder's model.json says.

.venv/bin/python scripts/write_cards.py            write them
.venv/bin/python scripts/write_cards.py --check    exit with 1 if one differs from what would be written

A table stands between ``<!-- NAME -->`` and ``<!-- /NAME -->``; what stands outside is written by hand.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from refstar_model.evaluation import report

ROOT = Path(__file__).parents[1]
ZOO = ROOT / "service" / "refstar_service" / "zoo"
MODELS = ("ganprior", "refstar", "ented")
CHOOSING = ROOT / "docs" / "choosing-a-model.md"
_SECTION = re.compile(r"(<!-- ([a-z-]+) -->\n).*?(<!-- /\2 -->)", re.DOTALL)

#: Rows of the comparison: what the input came with, the variant of it in `quality`, and who takes part.
_COMPARED = (
    ("no reference", "none", MODELS),
    ("the right person's", "right", MODELS[1:]),
    ("four of the person", "4 references", MODELS[1:]),
    ("a stranger's", "wrong", MODELS[1:]),
    ("a look-alike's", "look-alike", MODELS[1:]),
)
_COMPARED_COLUMNS = {
    "psnr": ("PSNR", 2),
    "identity": ("identity", 3),
    "identity_distinct_pictures": ("truly different", 3),
    "second": ("dlib's distance", 3),
    "sharpness": ("sharpness", 2),
    "sharpness_outside": ("outside the face", 2),
    "lips": ("lips", 4),
    "pattern": ("pattern", 1),
}


def read_quality(model: str) -> dict[str, Any]:
    """What was measured of a shipped model."""
    quality: dict[str, Any] = json.loads((ZOO / model / "model.json").read_text())["quality"]
    return quality


def fill_documents() -> dict[Path, str]:
    """What every document would be, by its path; raises KeyError for a section that nothing is measured for."""
    quality = {model: read_quality(model) for model in MODELS}
    documents = {ROOT / "docs" / f"model-card-{model}.md": tables(quality[model]) for model in MODELS}
    documents[CHOOSING] = {"systems": compare_systems(quality)}
    return {path: fill(path.read_text(), sections, path.name) for path, sections in documents.items()}


def fill(text: str, sections: Mapping[str, str], name: str) -> str:
    """The text with its sections anew; raises KeyError for one that nobody writes."""

    def put(found: re.Match[str]) -> str:
        opening, section, closing = found.groups()
        if not sections.get(section):
            raise KeyError(f"{name}: nothing is measured for its section {section}")
        return f"{opening}{sections[section]}\n{closing}"

    return _SECTION.sub(put, text)


def tables(quality: dict[str, Any]) -> dict[str, str]:
    """Sections of a card by their names."""
    made = report.tables(quality)
    return {name: "\n\n".join(parts) for name, parts in made.items()}


def compare_systems(quality: Mapping[str, dict[str, Any]]) -> str:
    return "\n\n".join("\n".join(_compare(quality, level)) for level in report.LEVELS)


def _compare(quality: Mapping[str, dict[str, Any]], level: str) -> Iterator[str]:
    heads = " | ".join(title for title, _ in _COMPARED_COLUMNS.values())
    yield f"| {level} | {heads} |"
    yield "|---" * (len(_COMPARED_COLUMNS) + 1) + "|"
    yield _row("input", quality[MODELS[0]][level]["input"])
    for title, variant, models in _COMPARED:
        for model in models:
            yield _row(f"{title}: {model}", quality[model][level][variant])


def _row(title: str, values: Mapping[str, float]) -> str:
    cells = (f"{values[name]:.{digits}f}" for name, (_, digits) in _COMPARED_COLUMNS.items())
    return f"| {title} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if one differs")
    arguments = parser.parse_args()
    differing = {path: text for path, text in fill_documents().items() if path.read_text() != text}
    for path, text in differing.items():
        print(path.relative_to(ROOT))
        if not arguments.check:
            path.write_text(text)
    if arguments.check and differing:
        sys.exit("these differ from what model.json says; run scripts/write_cards.py")


if __name__ == "__main__":
    main()
