"""A model whose graphs lie in the folder of another one: what both are made of is stored once.

ENTED is built around system 3, as RefSTAR is. Its own folder then has a ``model.json`` only. (Graphs in one folder
cannot have weights in another one: onnxruntime refuses such paths.)
"""

import json
from pathlib import Path
from typing import Any

from refstar_model.data.photos import DataError
from refstar_model.export.folder import prepare_folder
from refstar_model.export.guests import move_in, refresh_manifests
from refstar_model.export.manifest import MANIFEST, SHARED, WEIGHTS, lies_within, write_manifest


def join_folder(folder: Path, host: Path) -> dict[str, Any]:
    """Move the graphs of the model folder ``folder`` to ``host``, one beside it; returns the manifest of ``folder``.

    The files of ``host`` stay as they are. Raises DataError where one of the two has its graphs elsewhere already, or
    they are not beside each other; nothing has changed then.
    """
    if folder.resolve().parent != host.resolve().parent or folder.resolve() == host.resolve():
        raise DataError(f"{folder} must lie beside {host}, which is to keep its graphs")
    own, theirs = (_read_manifest(each) for each in (folder, host))
    if theirs.get("weights", {}).get("file") != WEIGHTS:
        raise DataError(f"{host} has no {WEIGHTS}: there is nothing that both could use")
    prefix = f"{folder.resolve().name}_"
    graphs = {f"{prefix}{graph['file']}": folder / graph["file"] for graph in own["graphs"].values()}
    with prepare_folder(host) as part:
        hosts = [host / graph["file"] for graph in theirs["graphs"].values()]
        move_in(graphs, f"{prefix}{WEIGHTS}", part, hosts)
    beside = f"../{host.resolve().name}/"
    for graph in own["graphs"].values():
        graph["file"] = f"{beside}{prefix}{graph['file']}"
    own["weights"] = {"file": f"{beside}{prefix}{WEIGHTS}"}
    own[SHARED] = {"file": f"{beside}{WEIGHTS}"}
    write_manifest(folder / MANIFEST, own)
    for file in (*graphs.values(), folder / WEIGHTS):
        file.unlink(missing_ok=True)
    refresh_manifests(host, guests_only=True)
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


def _load(folder: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text())
    return manifest
