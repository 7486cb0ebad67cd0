"""The shipped model through the engine."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pictures import aligned_face, degraded_face, psnr, reference_face
from refstar_service.engine.errors import ModelError, ProviderError
from refstar_service.engine.feature_bytes import from_bytes, to_bytes
from refstar_service.engine.manifest import load_manifest, load_manifests
from refstar_service.engine.restorer import FaceTask, ReferencePicture, Restorer
from refstar_service.engine.session import Provider, Session
from refstar_service.settings import Settings

ZOO = Settings().models_dir


@pytest.fixture(scope="module")
def restorer() -> Restorer:
    return Restorer(load_manifest(ZOO / "refstar"), max_batch=8)


@pytest.fixture
def model_copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ZOO / "refstar", tmp_path / "refstar"))


def task(shift: int = 0, references: int = 1, strength: float = 1.0, fidelity: float = 0.5) -> FaceTask:
    known = [
        ReferencePicture(f"{shift}-{i}", np.roll(reference_face(), 4 * i + shift, 0))
        for i in range(references)
    ]
    return FaceTask(np.roll(degraded_face(), shift, 1), tuple(known), strength, fidelity)


def test_a_reference_brings_the_face_nearer_to_the_truth(restorer: Restorer) -> None:
    face = restorer.restore([task()])[0]
    assert face.finite
    assert psnr(face.pixels, aligned_face()) > psnr(degraded_face(), aligned_face())


def test_without_a_reference_the_face_is_still_better_than_the_input(restorer: Restorer) -> None:
    face = restorer.restore([task(references=0)])[0]
    assert face.selection.shape[0] == 0
    assert psnr(face.pixels, aligned_face()) > psnr(degraded_face(), aligned_face())


def test_a_face_does_not_depend_on_its_batch_mates(restorer: Restorer) -> None:
    tasks = [task(7 * i, count) for i, count in enumerate((1, 8, 0, 2, 1, 3))]
    alone = [restorer.restore([one])[0] for one in tasks]
    together = restorer.restore(tasks)
    for one, other in zip(alone, together, strict=True):
        assert np.array_equal(one.pixels, other.pixels)
        assert np.array_equal(one.selection, other.selection)


def test_a_face_does_not_depend_on_what_is_computed_beside_it(restorer: Restorer) -> None:
    tasks = [task(7 * i, count) for i, count in enumerate((1, 0, 2, 0))]
    alone = [restorer.restore([one])[0] for one in tasks]
    several = Restorer(load_manifest(ZOO / "refstar"), threads=4, at_once=4)
    with ThreadPoolExecutor(4) as threads:
        beside = list(threads.map(lambda one: several.restore([one])[0], tasks))
    for one, other in zip(alone, beside, strict=True):
        assert np.array_equal(one.pixels, other.pixels)
        assert np.array_equal(one.selection, other.selection)


def test_features_that_went_around_by_way_of_bytes_give_the_same_face(restorer: Restorer) -> None:
    asked = task(3, references=2)
    pictures = [one for one in asked.references if isinstance(one, ReferencePicture)]
    direct = restorer.restore([asked])[0]
    around = [from_bytes(to_bytes(features)) for features in restorer.encode(pictures)]
    assert all(features is not None and restorer.remember("back", features) for features in around)
    known = tuple(features for features in around if features is not None)
    again = restorer.restore([replace(asked, references=known)])[0]
    assert np.array_equal(again.pixels, direct.pixels)
    restorer.forget("back")
    assert restorer.recall("back") is None


def test_features_of_another_model_are_not_taken(restorer: Restorer) -> None:
    picture = ReferencePicture("strange", reference_face())
    [good] = restorer.encode([picture])
    name = next(iter(good))
    for wrong in (
        {},
        {key: array for key, array in good.items() if key != name},
        {**good, "features_more": good[name]},
        {**good, name: good[name][:1]},
        {**good, name: good[name].astype(np.float16)},
    ):
        assert not restorer.remember("wrong", wrong)
    assert restorer.recall("wrong") is None
    assert restorer.encoder.startswith(restorer.manifest.identity("encode_references"))


def test_the_order_of_references_does_not_matter(restorer: Restorer) -> None:
    forward = task(references=3)
    backward = FaceTask(forward.low_quality, forward.references[::-1], 1.0, 0.5)
    one, other = restorer.restore([forward, backward])
    assert np.abs(one.pixels.astype(int) - other.pixels).max() <= 1
    assert np.abs(one.selection.astype(int) - other.selection[::-1]).max() <= 1


def test_an_absent_reference_equals_one_of_strength_zero(restorer: Restorer) -> None:
    absent, ignored = restorer.restore([task(references=0), task(references=1, strength=0.0)])
    assert np.array_equal(absent.pixels, ignored.pixels)
    assert not ignored.selection.any()


@pytest.mark.parametrize("knob", ["strength", "fidelity"])
def test_every_knob_changes_the_picture(restorer: Restorer, knob: str) -> None:
    low, high = restorer.restore([task(**{knob: 0.1}), task(**{knob: 1.0})])
    assert np.abs(low.pixels.astype(float) - high.pixels).mean() > 0.3


def test_fidelity_one_is_nearer_to_the_input_than_fidelity_zero(restorer: Restorer) -> None:
    for references in (0, 1):
        detail, close = restorer.restore([task(references=references, fidelity=f) for f in (0.0, 1.0)])
        assert psnr(close.pixels, degraded_face()) > psnr(detail.pixels, degraded_face())


def test_known_references_are_not_encoded_again(restorer: Restorer) -> None:
    first = restorer.restore([task(references=2)])[0]
    features = [restorer.recall(f"0-{i}") for i in range(2)]
    assert all(f is not None for f in features)
    again = FaceTask(degraded_face(), tuple(f for f in features if f is not None), 1.0, 0.5)
    assert np.array_equal(restorer.restore([again])[0].pixels, first.pixels)


def test_numbers_that_are_not_finite_are_reported(restorer: Restorer) -> None:
    restorer.restore([task()])
    features = restorer.recall("0-0")
    assert features is not None
    broken = {name: np.full_like(a, np.nan) if a.dtype == np.float32 else a for name, a in features.items()}
    sick, healthy = restorer.restore([FaceTask(degraded_face(), (broken,), 1.0, 0.5), task()])
    assert not sick.finite
    assert healthy.finite


def test_too_many_references_are_refused(restorer: Restorer) -> None:
    with pytest.raises(ValueError, match=r"9 references, refstar .* takes 8"):
        restorer.restore([task(references=9)])


def test_a_graph_with_another_hash_is_refused(model_copy: Path) -> None:
    graph = model_copy / "restore.onnx"
    graph.write_bytes(graph.read_bytes() + b"\0")
    with pytest.raises(ModelError, match=r"restore\.onnx: sha256 is [0-9a-f]{64}, model\.json says"):
        Restorer(load_manifest(model_copy))


def test_a_model_that_computes_something_else_is_refused_at_warm_up(model_copy: Path) -> None:
    manifest = json.loads((model_copy / "model.json").read_text())
    manifest["golden"]["block_means"][5] += 20
    (model_copy / "model.json").write_text(json.dumps(manifest))
    with pytest.raises(ModelError, match="golden picture differs by"):
        Restorer(load_manifest(model_copy)).warm_up()


def test_the_shipped_model_passes_its_own_warm_up(restorer: Restorer) -> None:
    restorer.warm_up()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"name": None}, "name"),
        ({"graphs": {}}, "names no graph `restore`"),
        ({"graphs": {"restore": {"file": "x.onnx", "sha256": ""}}}, "names no inputs of the graph `restore`"),
        (
            {"graphs": {"restore": {"file": "../x.onnx", "sha256": "", "inputs": ["low_quality"]}}},
            "'../x.onnx' is neither a file of this folder nor ../FOLDER/FILE",
        ),
        (
            {"graphs": {"restore": {"file": "../../a/x.onnx", "sha256": "", "inputs": ["low_quality"]}}},
            "neither a file of this folder",
        ),
        (
            {"graphs": {"restore": {"file": "../../x.onnx", "sha256": "", "inputs": ["low_quality"]}}},
            "neither a file of this folder",
        ),
    ],
)
def test_a_broken_manifest_is_refused_by_name(model_copy: Path, change: dict[str, object], says: str) -> None:
    manifest = json.loads((model_copy / "model.json").read_text())
    for name, value in change.items():
        if value is None:
            del manifest[name]
        else:
            manifest[name] = value
    (model_copy / "model.json").write_text(json.dumps(manifest))
    with pytest.raises(ModelError, match=says):
        load_manifest(model_copy)


def test_two_folders_cannot_claim_one_version_of_a_name(model_copy: Path) -> None:
    shutil.copytree(model_copy, model_copy.parent / "other")
    with pytest.raises(ModelError, match="is taken by"):
        load_manifests(model_copy.parent)


def test_a_provider_that_is_not_there_is_refused() -> None:
    with pytest.raises(ProviderError, match="CUDAExecutionProvider was asked for"):
        Session(load_manifest(ZOO / "refstar").path("restore"), Provider.CUDA)


def test_all_shipped_models_together_stay_small() -> None:
    assert sum(file.stat().st_size for file in ZOO.rglob("*") if file.is_file()) <= 60e6


def of_people(*people: int, face: np.ndarray | None = None, strength: float = 1.0) -> FaceTask:
    """Person 0 is who the face shows; all others are shown by a drawn pattern that is no face."""
    own = [np.roll(reference_face(), 4 * (i % 8), 0) for i in range(len(people))]  # still nearly aligned
    other = [np.full_like(own[0], 40 * i % 200 + 20) for i in range(len(people))]
    known = [
        ReferencePicture(f"p{person}-{i}", own[i] if person == 0 else other[i])
        for i, person in enumerate(people)
    ]
    picture = degraded_face() if face is None else face
    return FaceTask(picture, tuple(known), strength, 0.5, people)


def test_of_several_people_a_face_gets_the_references_of_its_own(restorer: Restorer) -> None:
    group = of_people(1, 0, 1, 0)
    alone = of_people(0, 0)
    own = replace(alone, references=(group.references[1], group.references[3]))
    [face], [wanted] = restorer.restore([group]), restorer.restore([own])
    assert (face.person, wanted.person) == (0, 0)
    assert len(face.selection) == 2
    assert np.array_equal(face.pixels, wanted.pixels)
    assert np.array_equal(face.selection, wanted.selection)


def test_a_stranger_among_several_people_is_restored_alone(restorer: Restorer) -> None:
    [face], [wanted] = restorer.restore([of_people(1, 2)]), restorer.restore([task(references=0)])
    assert face.person is None
    assert len(face.selection) == 0
    assert np.array_equal(face.pixels, wanted.pixels)


def test_faces_of_several_people_do_not_depend_on_their_batch_mates(restorer: Restorer) -> None:
    tasks = [of_people(1, 0), task(references=2), of_people(1, 2), of_people(0, 0), of_people(0, 1, 1)]
    alone = [restorer.restore([one])[0] for one in tasks]
    for one, other in zip(alone, restorer.stage(tasks).compute(), strict=True):
        assert np.array_equal(one.pixels, other.pixels)
        assert np.array_equal(one.selection, other.selection)
        assert one.person == other.person
    assert [face.person for face in alone] == [0, None, None, 0, 0]


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0])
def test_whose_face_it_is_does_not_depend_on_the_strength(restorer: Restorer, strength: float) -> None:
    group, single = restorer.restore([of_people(1, 0, strength=strength), of_people(0, strength=strength)])
    assert group.person == 0
    assert single.person == (0 if strength else None), "nothing was taken, so nothing tells"
    assert bool(group.selection.any()) == bool(strength)


def test_each_of_several_people_may_have_as_many_references_as_a_model_takes(restorer: Restorer) -> None:
    assert restorer.restore([of_people(*[1] * 8, *[0] * 8)])[0].person == 0
    with pytest.raises(ValueError, match="9 references"):
        restorer.restore([of_people(1, *[0] * 9)])
