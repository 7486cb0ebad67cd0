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

from refstar_model.export.shared_weights import share_weights

#: What the graphs of a folder have in common lies here once.
WEIGHTS = "weights.bin"


@contextmanager
def prepare_folder(folder: Path) -> Iterator[Path]:
    """An empty folder beside ``folder``; what is in it at the end replaces the folder's files of the same names.

    After an exception ``folder`` is as it was.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        part = Path(name)
        yield part
        folder.mkdir(exist_ok=True)
        for file in part.iterdir():
            file.replace(folder / file.name)


def complete_manifest(part: Path, manifest: dict[str, Any]) -> None:
    """Let the graphs that ``manifest`` names share their weights, if they are several; add the names of their inputs
    and all hashes, and write it."""
    graphs = manifest["graphs"]
    if len(graphs) > 1:
        manifest.setdefault("weights", {"file": WEIGHTS})
        share_weights([part / graph["file"] for graph in graphs.values()], part / WEIGHTS)
    for graph in graphs.values():
        model = onnx.load(str(part / graph["file"]), load_external_data=False)
        graph["inputs"] = [value.name for value in model.graph.input]
    for described in (*graphs.values(), *([manifest["weights"]] if "weights" in manifest else [])):
        described["sha256"] = hashlib.sha256((part / described["file"]).read_bytes()).hexdigest()
    (part / "model.json").write_text(json.dumps(manifest, indent=2) + "\n")


@contextmanager
def revise_folder(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """A copy of ``folder`` and its manifest, to be changed; at the end it is completed and replaces the folder.

    After an exception ``folder`` is as it was.
    """
    with prepare_folder(folder) as part:
        shutil.copytree(folder, part, dirs_exist_ok=True)
        manifest: dict[str, Any] = json.loads((part / "model.json").read_text())
        yield part, manifest
        complete_manifest(part, manifest)
