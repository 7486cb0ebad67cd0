"""Changing a model folder: graphs, the file of their weights, and ``model.json``, all at once or not at all."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from refstar_model.export import WEIGHTS, sha256
from refstar_model.shared_weights import share_weights


@contextmanager
def revised(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """A copy of ``folder`` and its manifest, to be changed; what is in them at the end replaces the folder's files.

    Graphs that were added to the manifest share the weights of the others, and get their hashes. After an exception the
    folder is as it was.
    """
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        part = Path(name)
        shutil.copytree(folder, part, dirs_exist_ok=True)
        manifest: dict[str, Any] = json.loads((part / "model.json").read_text())
        yield part, manifest
        manifest.setdefault("weights", {"file": WEIGHTS})
        share_weights(
            [part / graph["file"] for graph in manifest["graphs"].values()],
            part / manifest["weights"]["file"],
        )
        for described in (*manifest["graphs"].values(), manifest["weights"]):
            described["sha256"] = sha256(part / described["file"])
        (part / "model.json").write_text(json.dumps(manifest, indent=2) + "\n")
        for file in part.iterdir():
            file.replace(folder / file.name)
