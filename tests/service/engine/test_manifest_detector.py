"""Model folders that hold a face detector."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from refstar_service.engine.errors import ModelError
from refstar_service.engine.manifest import load_manifest, load_manifests
from refstar_service.settings import Settings

ZOO = Settings().models_dir


def write_detector(folder: Path, graphs: tuple[str, ...] = ("detect", "refine")) -> Path:
    """A detector's folder whose graphs are a few bytes: a manifest does not look into them."""
    folder.mkdir()
    described = {}
    for name in graphs:
        (folder / f"{name}.onnx").write_bytes(name.encode())
        digest = hashlib.sha256(name.encode()).hexdigest()
        described[name] = {"file": f"{name}.onnx", "sha256": digest, "inputs": ["image"]}
    fields = {
        "name": "refstar-detector",
        "version": "0.1.0",
        "system": "detector",
        "license": "Apache-2.0",
        "training_data": [],
        "commit": "0" * 40,
        "input_size": 64,
        "precision": "fp32",
        "max_references": 0,
        "needs_references": False,
        "graphs": described,
        "quality": {},
        "limits": [],
        "golden": {},
    }
    (folder / "model.json").write_text(json.dumps(fields))
    return folder


def test_a_detector_has_graphs_of_its_own(tmp_path: Path) -> None:
    manifest = load_manifest(write_detector(tmp_path / "detector"))
    manifest.verify()
    assert set(manifest.graphs) == {"detect", "refine"}
    assert manifest.input_size == 64


@pytest.mark.parametrize(("graphs", "missing"), [(("detect",), "refine"), (("restore", "refine"), "detect")])
def test_a_detector_without_one_of_its_graphs_is_refused(
    tmp_path: Path, graphs: tuple[str, ...], missing: str
) -> None:
    with pytest.raises(ModelError, match=f"names no graph `{missing}`"):
        load_manifest(write_detector(tmp_path / "detector", graphs))


def test_the_list_of_models_passes_over_detectors(tmp_path: Path) -> None:
    shutil.copytree(ZOO / "refstar", tmp_path / "refstar")
    write_detector(tmp_path / "detector")
    assert [one.name for one in load_manifests(tmp_path)] == ["refstar"]
