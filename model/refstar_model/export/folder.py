"""A model folder: graphs, the file of their weights, and ``model.json``, changed all at once or not at all."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx

from refstar_model.data.photos import DataError
from refstar_model.export.guests import find_guests, refresh_manifests, take_along
from refstar_model.export.manifest import MANIFEST, WEIGHTS, lies_within, list_files, write_manifest
from refstar_model.export.shared_weights import share_weights


@contextmanager
def prepare_folder(folder: Path) -> Iterator[Path]:
    """An empty folder beside ``folder``; what is in it at the end replaces the folder's files of the same names.

    Models that have their graphs there too (`guests`) keep them. After an exception ``folder`` is as it was.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        part = Path(name)
        yield part
        guests = find_guests(folder) if (part / WEIGHTS).is_file() else []
        take_along(guests, folder, part)
        folder.mkdir(exist_ok=True)
        for file in part.iterdir():
            file.replace(folder / file.name)
    if guests:
        refresh_manifests(folder, guests_only=True)


def complete_manifest(part: Path, manifest: dict[str, Any]) -> None:
    """Let the graphs that ``manifest`` names share their weights, if they are several; add the names of their inputs
    and all hashes, and write it."""
    graphs = manifest["graphs"]
    own = [part / graph["file"] for graph in graphs.values()]
    if len(own) > 1:
        manifest.setdefault("weights", {"file": WEIGHTS})
        share_weights(own, part / WEIGHTS)
    for graph in graphs.values():
        model = onnx.load(str(part / graph["file"]), load_external_data=False)
        graph["inputs"] = [value.name for value in model.graph.input]
    for described in list_files(manifest):
        described["sha256"] = hashlib.sha256((part / described["file"]).read_bytes()).hexdigest()
    write_manifest(part / MANIFEST, manifest)


@contextmanager
def revise_folder(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """A copy of ``folder`` and its manifest, to be changed; at the end it is completed and replaces the folder.

    Models beside it that use its files (`borrowing`, `guests`) get their new hashes: graphs that were there compute the
    same. After an exception ``folder`` is as it was. Raises DataError where its graphs are another folder's.
    """
    with prepare_folder(folder) as part:
        shutil.copytree(folder, part, dirs_exist_ok=True)
        manifest: dict[str, Any] = json.loads((part / MANIFEST).read_text())
        borrowed = [graph["file"] for graph in manifest["graphs"].values() if not lies_within(graph["file"])]
        if borrowed:
            lender = Path(borrowed[0]).parent.name
            raise DataError(f"the graphs of {folder} are those of {lender} beside it: change them there")
        yield part, manifest
        complete_manifest(part, manifest)
    refresh_manifests(folder)
