"""A model whose graphs lie in the folder of another one: what both are made of is stored once.

ENTED is built around system 3, as RefSTAR is. Its own folder then has a ``model.json`` only. (Graphs in one folder
cannot have weights in another one: onnxruntime refuses such paths.)
"""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import onnx

from refstar_model.data.photos import DataError
from refstar_model.export.folder import MANIFEST, WEIGHTS, complete_manifest, lies_within, prepare_folder


def join_folder(folder: Path, host: Path) -> dict[str, Any]:
    """Move the graphs of the model folder ``folder`` to ``host``, one beside it; returns the manifest of ``folder``.

    The manifests of all folders beside ``host`` that have graphs there are brought up to date. Raises DataError where
    one of the two has its graphs elsewhere already, or they are not beside each other; nothing has changed then.
    """
    if folder.resolve().parent != host.resolve().parent or folder.resolve() == host.resolve():
        raise DataError(f"{folder} must lie beside {host}, which is to keep its graphs")
    own, theirs = (_read_manifest(each) for each in (folder, host))
    with prepare_folder(host) as part:
        shutil.copytree(host, part, dirs_exist_ok=True)
        for graph in own["graphs"].values():
            model = onnx.load(str(folder / graph["file"]))  # with its weights
            moved = f"{folder.resolve().name}_{graph['file']}"
            (part / moved).write_bytes(model.SerializeToString(deterministic=True))
        complete_manifest(part, theirs)
    left = [folder / graph["file"] for graph in own["graphs"].values()]
    for graph in own["graphs"].values():
        graph["file"] = f"../{host.resolve().name}/{folder.resolve().name}_{graph['file']}"
    own["weights"] = {"file": f"../{host.resolve().name}/{WEIGHTS}"}
    (folder / MANIFEST).write_text(json.dumps(own, indent=2) + "\n")
    for file in (*left, folder / WEIGHTS):
        file.unlink(missing_ok=True)
    _refresh_manifests(host)
    return _load(folder)


def _read_manifest(folder: Path) -> dict[str, Any]:
    """Of a model folder that has its graphs itself."""
    if not (folder / MANIFEST).is_file():
        raise DataError(f"{folder} is no model folder: it has no {MANIFEST}")
    manifest = _load(folder)
    for graph in manifest["graphs"].values():
        if not lies_within(graph["file"]):
            raise DataError(f"{folder} has its graphs elsewhere: {graph['file']}")
    return manifest


def _refresh_manifests(host: Path) -> None:
    """Bring the hashes of all manifests beside ``host`` that name files of it up to date."""
    for path in host.resolve().parent.glob(f"*/{MANIFEST}"):
        manifest = json.loads(path.read_text())
        named = [*manifest["graphs"].values(), *([manifest["weights"]] if "weights" in manifest else [])]
        elsewhere = [one for one in named if one["file"].startswith(f"../{host.resolve().name}/")]
        for one in elsewhere:
            one["sha256"] = hashlib.sha256((path.parent / one["file"]).read_bytes()).hexdigest()
        if elsewhere:
            path.write_text(json.dumps(manifest, indent=2) + "\n")


def _load(folder: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text())
    return manifest
