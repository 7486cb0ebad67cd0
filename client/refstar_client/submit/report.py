"""What became of every photograph, as CSV or JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from refstar_client.resources import Restoration
from refstar_client.storing import write_file
from refstar_client.submit.journal import Journal
from refstar_client.submit.plan import Item

COLUMNS = (
    "photograph",
    "output",
    "status",
    "error",
    "detail",
    "restoration",
    "faces",
    "restored",
    "references_left_out",
    "seconds",
)


def check_report(path: Path) -> Path:
    """The path; raises ValueError unless it ends in .csv or .json."""
    if path.suffix.lower() not in (".csv", ".json"):
        raise ValueError(f"{path} ends in neither .csv nor .json")
    return path


def describe_outcome(restoration: Restoration) -> dict[str, Any]:
    """What a journal keeps of a restoration that has ended."""
    left_out = [f"{one.index} {one.reason}" for one in restoration.references if not one.used]
    outcome: dict[str, Any] = {
        "status": restoration.status,
        "restoration": restoration.id,
        "faces": len(restoration.faces),
        "restored": sum(face.action == "restored" for face in restoration.faces),
        "references_left_out": "; ".join(left_out),
        "seconds": round(sum(restoration.timings.values()), 3),
    }
    if restoration.error is not None:
        outcome |= {"error": restoration.error.slug, "detail": restoration.error.detail}
    return outcome


def write_report(path: Path, items: Iterable[Item], journal: Journal) -> None:
    rows = _rows(items, journal)
    if path.suffix.lower() == ".json":
        text = json.dumps(list(rows), indent=1, ensure_ascii=False) + "\n"
    else:
        out = io.StringIO()
        table = csv.DictWriter(out, COLUMNS, extrasaction="ignore")
        table.writeheader()
        table.writerows(rows)
        text = out.getvalue()
    write_file(path, text.encode())


def _rows(items: Iterable[Item], journal: Journal) -> Iterator[dict[str, Any]]:
    """One for each item; those that no run came to are `pending`."""
    for item in items:
        outcome = journal.entry(item.output).outcome or {"status": "pending"}
        said: dict[str, Any] = {
            **outcome,
            "photograph": str(item.photograph),
            "output": outcome.get("file", ""),
        }
        yield {name: said.get(name, "") for name in COLUMNS}
