"""``model.json``: which files a model folder names."""

import json
from pathlib import Path
from typing import Any

MANIFEST = "model.json"
#: What the graphs of a folder have in common lies here once.
WEIGHTS = "weights.bin"
#: The entry of the weights that a model uses of the one whose folder has its graphs (`export.guests`).
SHARED = "shared_weights"


def lies_within(file: str) -> bool:
    """Whether a file that a manifest names is in its folder, not in the one beside it."""
    return Path(file).name == file


def write_manifest(path: Path, manifest: dict[str, Any]) -> None:
    """All of it, or the file stays as it was."""
    part = path.with_suffix(".part")
    try:
        part.write_text(json.dumps(manifest, indent=2) + "\n")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def list_files(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """The entries of all files that a manifest names."""
    weights = [manifest[name] for name in ("weights", SHARED) if name in manifest]
    return [*manifest["graphs"].values(), *weights]


def find_graph(folder: Path, name: str) -> Path | None:
    """The file of a graph of a model folder, which may not be in the manifest yet; None where there is no such file.

    Raises OSError without a manifest.
    """
    graphs = json.loads((folder / MANIFEST).read_text()).get("graphs", {})
    path: Path = folder / (graphs[name]["file"] if name in graphs else f"{name}.onnx")
    return path if path.is_file() else None
