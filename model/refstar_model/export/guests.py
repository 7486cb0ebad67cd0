"""Guests: models whose graphs lie in the folder of another one (``joining``), their host, which may change.

What a guest has in common with its host lies in the host's file of weights, and the rest in one of its own beside it:
so the host's files are as they were, and a new version of the guest changes only its own.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx

from refstar_model.export.manifest import MANIFEST, SHARED, list_files, write_manifest
from refstar_model.export.shared_weights import share_weights


@dataclass(frozen=True)
class Guest:
    """``graphs`` and ``weights`` are files in the host's folder."""

    graphs: tuple[str, ...]
    weights: str


def find_guests(host: Path) -> list[Guest]:
    """Those in the folder ``host`` of models beside it."""
    found = []
    for path in _find_manifests(host):
        manifest = json.loads(path.read_text())
        if manifest.get(SHARED, {}).get("file", "").startswith(_named(host)):
            graphs = tuple(Path(graph["file"]).name for graph in manifest["graphs"].values())
            found.append(Guest(graphs, Path(manifest["weights"]["file"]).name))
    return found


def move_in(graphs: dict[str, Path], weights: str, part: Path, hosts: Sequence[Path]) -> None:
    """Write ``graphs`` into ``part`` under their new names, and into ``weights`` there what the ``hosts`` lack."""
    for name, path in graphs.items():
        model = onnx.load(str(path))  # with its weights
        (part / name).write_bytes(model.SerializeToString(deterministic=True))
    share_weights([part / name for name in graphs], part / weights, hosts)


def take_along(guests: Iterable[Guest], host: Path, part: Path) -> None:
    """Let the guests of ``host`` use the weights of the graphs in ``part``, which are to replace it."""
    guests = list(guests)
    theirs = {name for guest in guests for name in guest.graphs}
    hosts = [path for path in sorted(part.glob("*.onnx")) if path.name not in theirs]
    for guest in guests:
        move_in({name: host / name for name in guest.graphs}, guest.weights, part, hosts)


def refresh_manifests(host: Path, *, guests_only: bool = False) -> None:
    """Bring the hashes of files of ``host`` up to date that manifests beside it name (only guests', if so asked)."""
    for path in _find_manifests(host):
        manifest = json.loads(path.read_text())
        if guests_only and SHARED not in manifest:
            continue
        elsewhere = [one for one in list_files(manifest) if one["file"].startswith(_named(host))]
        for one in elsewhere:
            one["sha256"] = hashlib.sha256((path.parent / one["file"]).read_bytes()).hexdigest()
        if elsewhere:
            write_manifest(path, manifest)


def _find_manifests(host: Path) -> list[Path]:
    return sorted(host.resolve().parent.glob(f"*/{MANIFEST}"))


def _named(host: Path) -> str:
    """What the names of files in ``host`` begin with in a folder beside it."""
    return f"../{host.resolve().name}/"
