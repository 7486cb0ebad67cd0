"""A session is given what its graph names; a graph that wants something else is refused when it is loaded."""

import json
from pathlib import Path

import numpy as np
import pytest
from lone_model import inverter, write_lone_model
from onnx import TensorProto, helper
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


@pytest.fixture
def gated(tmp_path: Path) -> Restorer:
    write_small_model(tmp_path, gated=True)
    return Restorer(load_manifest(tmp_path / "refstar"), threads=1, max_batch=4)


def of_brightness(level: int) -> np.ndarray:
    return np.full_like(FACE, level)


def beside(*levels: int, strength: float = 1.0, gate: float = 1.0, people: tuple[int, ...] = ()) -> FaceTask:
    """A face of level 100, with references of these."""
    references = tuple(ReferencePicture(f"level {level}", of_brightness(level)) for level in levels)
    return FaceTask(of_brightness(100), references, strength, 0.5, people, gate)


def test_who_references_show_is_said_of_each_face_alone_and_in_company(gated: Restorer) -> None:
    assert gated.manifest.knobs == {"fidelity", "reference_strength", "stranger"}
    tasks = [beside(100, 240), beside(), beside(240), beside(100, gate=0.0), beside(240, gate=0.0)]
    alone = [gated.restore([one])[0] for one in tasks]
    for one, other in zip(alone, gated.restore(tasks), strict=True):
        assert np.array_equal(one.pixels, other.pixels)
        for name in ("same_person", "likeness"):
            assert np.array_equal(getattr(one, name), getattr(other, name))
    both, nobody, stranger, _, used = alone
    assert both.same_person == pytest.approx([0.9933, 0.0], abs=0.001)
    assert both.likeness is not None
    assert both.likeness.shape == (2,)
    assert nobody.same_person is not None
    assert nobody.same_person.shape == (0,)
    # A stranger's reference is hardly used, unless the gate has no say; what it says is the same.
    assert stranger.selection.mean() < 1 < 250 < used.selection.mean()
    assert np.array_equal(stranger.same_person, used.same_person)  # type: ignore[arg-type]
    assert used.likeness is not None
    assert stranger.likeness is not None
    assert used.likeness[0] > stranger.likeness[0]


def test_nothing_is_said_of_references_that_have_no_strength(gated: Restorer) -> None:
    [mute] = gated.restore([beside(100, strength=0.0)])
    assert (mute.same_person, mute.likeness) == (None, None)


def test_of_several_people_those_of_the_faces_own_are_judged(gated: Restorer) -> None:
    group, heedless = gated.restore(
        [beside(240, 100, 110, people=(0, 1, 1), gate=gate) for gate in (1.0, 0.0)]
    )
    assert (group.person, heedless.person) == (1, 1), (
        "whose face it is does not depend on the gate's strength"
    )
    assert group.same_person is not None
    assert group.same_person.shape == (2,)
    assert (group.same_person > 0.9).all()


def test_a_model_without_a_gate_says_nothing_of_people(tmp_path: Path) -> None:
    write_small_model(tmp_path)
    restorer = Restorer(load_manifest(tmp_path / "refstar"), threads=1)
    usual, heedless = restorer.restore([beside(240), beside(240, gate=0.0)])
    assert (usual.same_person, usual.likeness) == (None, None)
    assert np.array_equal(usual.pixels, heedless.pixels)


def test_a_gate_that_keeps_its_judgment_to_itself_is_refused(tmp_path: Path) -> None:
    graph = inverter()
    graph.input.append(helper.make_tensor_value_info("gate_strength", TensorProto.FLOAT, ["B"]))
    write_model_folder(tmp_path / "odd", {"restore": graph}, SIDE, "1", "", "")
    with pytest.raises(ModelError, match="lacks the outputs likeness, same_person"):
        Restorer(load_manifest(tmp_path / "odd"))


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
