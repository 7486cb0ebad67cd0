"""A session is given what its graph names; a graph that wants something else is refused when it is loaded."""

import json
from pathlib import Path

import numpy as np
import pytest
from lone_model import inverter, write_lone_model
from refstar_service.engine.errors import ModelError
from refstar_service.engine.feature_cache import FeatureCache
from refstar_service.engine.manifest import load_manifest, load_manifests
from refstar_service.engine.restorer import FaceTask, ReferencePicture, Restorer
from small_model import SIDE, write_model_folder, write_small_model

FACE = np.random.default_rng(1).integers(0, 255, (SIDE, SIDE, 3)).astype(np.uint8)


def test_a_graph_without_references_and_fidelity_restores(tmp_path: Path) -> None:
    write_lone_model(tmp_path)
    manifest = load_manifest(tmp_path / "lone")
    assert manifest.knobs == frozenset()
    restorer = Restorer(manifest, threads=1)
    restorer.warm_up()
    for face in restorer.restore([FaceTask(FACE, (), 1.0, fidelity) for fidelity in (0.0, 0.5, 1.0)]):
        assert np.array_equal(face.pixels, 255 - FACE)
        assert face.finite


def test_a_graph_whose_input_nobody_fills_is_refused(tmp_path: Path) -> None:
    write_model_folder(tmp_path / "odd", {"restore": inverter("mystery")}, SIDE, "1", "", "")
    with pytest.raises(ModelError, match="inputs that nothing here fills: mystery"):
        Restorer(load_manifest(tmp_path / "odd"))


def test_a_graph_that_is_not_as_described_is_refused(tmp_path: Path) -> None:
    write_lone_model(tmp_path)
    path = tmp_path / "lone" / "model.json"
    manifest = json.loads(path.read_text())
    manifest["graphs"]["restore"]["inputs"].append("fidelity")
    path.write_text(json.dumps(manifest))
    with pytest.raises(ModelError, match=r"inputs low_quality, but model\.json says fidelity, low_quality"):
        Restorer(load_manifest(tmp_path / "lone"))


def test_models_share_a_cache_and_each_finds_what_its_own_encoder_said(tmp_path: Path) -> None:
    write_small_model(tmp_path)
    write_lone_model(tmp_path)
    cache = FeatureCache(2**20)
    manifests = {one.name: one for one in load_manifests(tmp_path)}
    first = Restorer(manifests["refstar"], threads=1, cache=cache)
    twin = Restorer(manifests["refstar"], threads=1, cache=cache)
    lone = Restorer(manifests["lone"], threads=1, cache=cache)
    first.encode([ReferencePicture("seen", FACE)])
    assert twin.recall("seen") is first.recall("seen") is not None
    assert lone.recall("seen") is None
    lone.forget("seen")
    assert first.recall("seen") is not None
