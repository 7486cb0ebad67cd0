"""The data folder: aligned faces, ``faces.csv`` and ``pairs.csv`` (data/photos.py), and what was left out."""

import csv
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2

from refstar_model.data.photos import DataError
from refstar_model.preparing.album import Entry
from refstar_model.preparing.likeness import Likeness

LEFT_OUT = "left-out.csv"
QUALITY = 95  # of the JPEG files


@dataclass(frozen=True)
class Rights:
    """What ``faces.csv`` says of all photographs: where they come from and under which license."""

    source: str
    license: str


def check_target(folder: Path) -> None:
    """Raises DataError where ``folder`` holds data already."""
    if (folder / "faces.csv").exists():
        raise DataError(f"{folder / 'faces.csv'} exists: name another folder, or delete that one")


def split_people(people: Iterable[str], paired: set[str], share: float) -> dict[str, str]:
    """``train`` or ``val`` of each person.

    ``val`` gets ``share`` of those who are ``paired`` (have two photographs), by a hash of their names, and at least
    two of them (each is given the other's photograph as a stranger's), as long as two people are left to train on.
    """
    everyone = sorted(set(people))
    order = sorted(paired, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    most = max(0, len(everyone) - 2)
    count = min(most, max(2, round(share * len(paired)))) if share > 0 else 0
    judged = set(order[:count])
    return {person: "val" if person in judged else "train" for person in everyone}


def write_data(
    folder: Path,
    entries: Sequence[Entry],
    pairs: Sequence[Likeness],
    splits: Mapping[str, str],
    rights: Rights,
) -> None:
    """Everything, ``faces.csv`` last: a folder without it is not whole."""
    rows = []
    for entry in entries:
        portrait = entry.portrait
        if portrait is None:
            continue
        for side, crop in portrait.crops.items():
            target = folder / f"faces{side}" / entry.file
            target.parent.mkdir(parents=True, exist_ok=True)
            if not cv2.imwrite(str(target), crop[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY]):
                raise DataError(f"{target} cannot be written: is the disk full?")
        rows.append(
            {
                "file": entry.file,
                "in512": int(512 in portrait.crops),
                "split": splits[entry.person],
                "person": entry.person,
                "licence": rights.license,
                "source": rights.source,
                "gray": int(portrait.gray),
                "yaw": round(portrait.yaw, 3),
                "iod_eff": round(portrait.eye_distance, 1),
                "detail": round(portrait.detail, 3),
                "det_score": round(portrait.score, 3),
            }
        )
    left_out = [
        {"photograph": str(one.path), "reason": one.reason} for one in entries if one.portrait is None
    ]
    _write(folder / LEFT_OUT, ("photograph", "reason"), left_out)
    _write(
        folder / "pairs.csv",
        ("person", "split", "file_a", "file_b", "emb_sim"),
        [
            {
                "person": pair.person,
                "split": splits[pair.person],
                "file_a": pair.first,
                "file_b": pair.second,
                "emb_sim": pair.similarity,
            }
            for pair in pairs
        ],
    )
    _write(folder / "faces.csv", tuple(rows[0]), rows)


def _write(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as out:
        table = csv.DictWriter(out, columns)
        table.writeheader()
        table.writerows(rows)
