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
from refstar_model.export.shared_weights import share_weights

#: What the graphs of a folder have in common lies here once.
WEIGHTS = "weights.bin"
MANIFEST = "model.json"


def lies_within(file: str) -> bool:
    """Whether a file that a manifest names is in its folder, not in the one beside it (`export.borrowing`)."""
    return Path(file).name == file


def find_graph(folder: Path, name: str) -> Path | None:
    """The file of a graph of a model folder, which may not be in the manifest yet; None where there is no such file.

    Raises OSError without a manifest.
    """
    graphs = json.loads((folder / MANIFEST).read_text()).get("graphs", {})
    path: Path = folder / (graphs[name]["file"] if name in graphs else f"{name}.onnx")
    return path if path.is_file() else None


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
    """Let the graphs that ``manifest`` names, and other models' that lie here too (`export.joining`), share their
    weights, if they are several; add the names of their inputs and all hashes, and write it."""
    graphs = manifest["graphs"]
    own = [part / graph["file"] for graph in graphs.values()]
    others = sorted(set(part.glob("*.onnx")) - set(own))
    if len(own) + len(others) > 1:
        manifest.setdefault("weights", {"file": WEIGHTS})
        share_weights([*own, *others], part / WEIGHTS)
    for graph in graphs.values():
        model = onnx.load(str(part / graph["file"]), load_external_data=False)
        graph["inputs"] = [value.name for value in model.graph.input]
    for described in (*graphs.values(), *([manifest["weights"]] if "weights" in manifest else [])):
        described["sha256"] = hashlib.sha256((part / described["file"]).read_bytes()).hexdigest()
    (part / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")


@contextmanager
def revise_folder(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """A copy of ``folder`` and its manifest, to be changed; at the end it is completed and replaces the folder.

    After an exception ``folder`` is as it was. Raises DataError where its graphs are another folder's.
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
