"""Batches that do not fit, the same faces from any kind of memory, and graphs of other precisions. On a small model."""

import hashlib
import json
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from refstar_service.engine.binding import Binding
from refstar_service.engine.buckets import Ceiling, bucket, buckets_to
from refstar_service.engine.crowd import Graphs
from refstar_service.engine.errors import ModelError
from refstar_service.engine.feature_cache import FeatureCache, Features
from refstar_service.engine.manifest import load_manifest
from refstar_service.engine.memory import Memory, is_out_of_memory
from refstar_service.engine.provider import Precision
from refstar_service.engine.restorer import FaceTask, Pixels, ReferencePicture, Restorer
from small_model import SIDE, write_small_model

ARENA = "Available memory of 1048576 is smaller than requested bytes of 33554432"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_small_model(tmp_path)
    return tmp_path / "refstar"


def tasks(count: int) -> list[FaceTask]:
    draw = np.random.default_rng(count)
    pictures = draw.integers(0, 255, (count, 2, SIDE, SIDE, 3)).astype(np.uint8)
    return [
        FaceTask(face, (ReferencePicture(f"{count}-{i}", reference),), 1.0, 0.5)
        for i, (face, reference) in enumerate(pictures)
    ]


def refusing_from(rows: int, monkeypatch: pytest.MonkeyPatch, text: str = ARENA) -> list[int]:
    """Restoring this many faces at once does not fit. Returns the sizes that are tried."""
    plain, tried = Binding.run, []

    def run(self: Binding) -> None:
        if "low_quality" in self.inputs:
            tried.append(len(self.inputs["low_quality"]))
            if tried[-1] >= rows:
                raise RuntimeError(text)
        plain(self)

    monkeypatch.setattr(Binding, "run", run)
    return tried


def test_a_batch_that_does_not_fit_is_halved_and_so_are_those_after_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    restorer = Restorer(load_manifest(folder), max_batch=8, threads=1)
    wanted = restorer.restore(tasks(7))
    tried = refusing_from(4, monkeypatch)
    found = restorer.restore(tasks(7))
    assert tried == [8, 4, 2, 2, 2, 1]
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(found, wanted, strict=True))
    tried.clear()
    restorer.restore(tasks(5))
    assert tried == [2, 2, 1]
    assert restorer.ceiling.value == 2
    assert "at most 2 from now on" in caplog.text


def test_a_batch_whose_buffers_do_not_fit_is_halved_too(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    restorer = Restorer(load_manifest(folder), max_batch=8, threads=1)
    plain = Binding.upload

    def upload(self: Binding) -> None:
        if "low_quality" in self.inputs and len(self.inputs["low_quality"]) > 1:
            raise RuntimeError("CUDA failure 2: out of memory")
        plain(self)

    monkeypatch.setattr(Binding, "upload", upload)
    assert len(restorer.restore(tasks(3))) == 3
    assert restorer.ceiling.value == 1


def test_one_face_that_does_not_fit_is_an_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    restorer = Restorer(load_manifest(folder), max_batch=2, threads=1)
    tried = refusing_from(1, monkeypatch)
    with pytest.raises(RuntimeError, match="Available memory"):
        restorer.restore(tasks(2))
    assert tried == [2, 1]


def test_other_errors_are_not_tried_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    restorer = Restorer(load_manifest(folder), max_batch=2, threads=1)
    tried = refusing_from(1, monkeypatch, "Non-zero status code: the input shape is wrong")
    with pytest.raises(RuntimeError, match="Non-zero status"):
        restorer.restore(tasks(2))
    assert tried == [2]
    assert restorer.ceiling.value == 2


@pytest.mark.parametrize(
    "text",
    [
        "Failed to allocate memory for requested buffer of size 16777216",
        "CUDA failure 2: out of memory ; GPU=0",
        "CUDNN failure 4000: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED alloc_failed",
        "CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED",
        "std::bad_alloc",
        ARENA,
    ],
)
def test_running_out_of_memory_is_known_by_its_words(text: str) -> None:
    assert is_out_of_memory(RuntimeError(text))


def test_a_ceiling_is_a_power_of_two_and_only_comes_down() -> None:
    ceiling = Ceiling(12)
    assert ceiling.value == 8
    assert ceiling.lower(8)
    assert ceiling.lower(8)  # a batch that was under way meanwhile
    assert ceiling.value == 4
    assert not ceiling.lower(1)
    assert ceiling.value == 4
    assert [bucket(n) for n in (1, 2, 3, 5, 8)] == [1, 2, 4, 8, 8]
    assert buckets_to(8) == [1, 2, 4, 8]


@pytest.mark.parametrize(("padded", "places"), [(False, [1, 1, 3, 5]), (True, [1, 1, 4, 8])])
def test_on_a_cpu_no_place_is_computed_for_references_that_are_not_there(
    folder: Path, monkeypatch: pytest.MonkeyPatch, padded: bool, places: list[int]
) -> None:
    """On a GPU shapes should be few instead; the face is the same."""
    restorer = Restorer(load_manifest(folder), threads=1)
    assert not restorer._crowd.alone.restoring.padded
    graph = replace(restorer._crowd.alone.restoring, padded=padded)
    restorer._crowd.alone = replace(restorer._crowd.alone, restoring=graph)
    plain, seen, found = Binding.run, [], []

    def run(self: Binding) -> None:
        if "reference_weight" in self.inputs:
            seen.append(self.inputs["reference_weight"].shape[1])
        plain(self)

    monkeypatch.setattr(Binding, "run", run)
    (face,) = tasks(1)
    for count in (0, 1, 3, 5):
        known = tuple(one.references[0] for one in tasks(8)[:count])
        found += restorer.restore([replace(face, references=known)])
    assert seen == places
    assert [len(one.selection) for one in found] == [0, 1, 3, 5]


def test_a_face_is_the_same_from_memory_that_lies_apart(folder: Path) -> None:
    plain, apart = (Restorer(load_manifest(folder), max_batch=4, threads=1) for _ in range(2))
    for bindings in (apart._crowd.alone.restoring.bindings, apart._crowd.alone.encoding):
        assert bindings is not None
        bindings.session.memory = Memory("cpu", apart=True)
    for count in (3, 1, 4, 3):
        for one, other in zip(plain.restore(tasks(count)), apart.restore(tasks(count)), strict=True):
            assert np.array_equal(one.pixels, other.pixels)
            assert np.array_equal(one.selection, other.selection)


def test_a_face_does_not_depend_on_who_was_in_its_place_before(folder: Path) -> None:
    restorer = Restorer(load_manifest(folder), max_batch=4, threads=1)
    first = restorer.restore(tasks(3))
    nan = {"features_picture": np.full((3, SIDE, SIDE), np.nan, np.float32)}
    restorer.restore([FaceTask(tasks(1)[0].low_quality, (nan,), 1.0, 0.0)] * 4)
    again = restorer.restore(tasks(3))
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(first, again, strict=True))


def test_a_face_that_was_handed_out_stays_as_it_is(folder: Path) -> None:
    restorer = Restorer(load_manifest(folder), max_batch=1, threads=1)
    (face,) = restorer.restore(tasks(1))
    before = face.pixels.copy(), face.selection.copy()
    for count in (2, 3):
        restorer.restore(tasks(count))
    assert np.array_equal(face.pixels, before[0])
    assert np.array_equal(face.selection, before[1])


def test_a_reference_that_another_job_has_brought_is_not_encoded_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    restorer = Restorer(load_manifest(folder), threads=1)
    restorer.restore(tasks(2))
    encoded = counting(restorer, monkeypatch)
    restorer.restore(tasks(2))  # its tasks still hold the pictures
    assert encoded == []


def test_references_are_encoded_once_a_job_even_with_little_memory(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    restorer = Restorer(load_manifest(folder), threads=1, cache=FeatureCache(0))
    encoded = counting(restorer, monkeypatch)
    job = [replace(one, references=tasks(1)[0].references) for one in tasks(3)]
    job = [replace(one, references=job[0].references) for one in job]
    for one in job:
        restorer.restore([one])
    assert len(encoded) == 1
    restorer.forget(encoded[0])
    restorer.restore(job)
    assert len(encoded) == 2


def test_a_reference_is_forgotten_while_other_threads_restore(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    restorer = Restorer(load_manifest(folder), threads=1)
    picture = tasks(1)[0].references[0]
    features = restorer.encode([picture])[0]
    waiting = [ReferencePicture(str(number), picture.pixels) for number in range(1000)]
    restorer._at_hand.update(dict.fromkeys(waiting, features))
    begun, over = threading.Event(), threading.Event()

    def restore_others() -> None:
        """As the threads of the model do: what a round was given is at hand for as long as its jobs are there."""
        while not over.is_set():
            job = [ReferencePicture("other", picture.pixels) for _ in range(16)]
            restorer._at_hand.update((one, features) for one in job)
            begun.set()

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(1) as others:
            others.submit(restore_others)
            assert begun.wait(10)
            try:
                for _ in range(300):
                    restorer._at_hand[picture] = features
                    restorer.forget(picture.key)
                    assert picture not in restorer._at_hand
            finally:
                over.set()
    finally:
        sys.setswitchinterval(before)


def counting(restorer: Restorer, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys of the references that it encodes from now on."""
    plain, seen = restorer._encode_fresh, []

    def encoded(fresh: Mapping[str, Pixels], graphs: Graphs) -> dict[str, Features]:
        seen.extend(fresh)
        return plain(fresh, graphs)

    monkeypatch.setattr(restorer, "_encode_fresh", encoded)
    return seen


def test_what_was_staged_and_is_not_wanted_any_more_harms_nothing(folder: Path) -> None:
    restorer = Restorer(load_manifest(folder), max_batch=4, threads=1)
    wanted = restorer.restore(tasks(3))
    unwanted, waiting = restorer.stage(tasks(2)), restorer.stage(tasks(3))
    unwanted.discard()
    restorer.restore(tasks(4))
    held = restorer._crowd.alone.restoring.bindings.idle_bytes
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(waiting.compute(), wanted, strict=True))
    assert restorer._crowd.alone.restoring.bindings.idle_bytes > held  # its buffers are free for others again
    assert restorer.stage([]).compute() == []


def add_graph(folder: Path, name: str, model: onnx.ModelProto) -> None:
    onnx.checker.check_model(model)
    data = model.SerializeToString()
    (folder / f"{name}.onnx").write_bytes(data)
    manifest = json.loads((folder / "model.json").read_text())
    manifest["graphs"][name] = {"file": f"{name}.onnx", "sha256": hashlib.sha256(data).hexdigest()}
    (folder / "model.json").write_text(json.dumps(manifest))


def test_a_folder_may_bring_a_graph_in_half_precision(folder: Path) -> None:
    model = onnx.load(folder / "restore.onnx")
    graph = model.graph
    (features,) = (i for i in graph.input if i.name == "features_picture")
    features.type.tensor_type.elem_type = TensorProto.FLOAT16
    for node in graph.node:
        node.input[:] = ["features_wide" if i == "features_picture" else i for i in node.input]
    graph.node.insert(
        0, helper.make_node("Cast", ["features_picture"], ["features_wide"], to=TensorProto.FLOAT)
    )
    add_graph(folder, "restore_fp16", model)
    manifest = load_manifest(folder)
    half, full = (Restorer(manifest, precision=p, threads=1) for p in (Precision.FP16, Precision.FP32))
    for one, other in zip(half.restore(tasks(2)), full.restore(tasks(2)), strict=True):
        assert np.abs(one.pixels.astype(int) - other.pixels).max() <= 1
    known, wide = half.recall("2-0"), full.recall("2-0")
    assert known is not None
    assert wide is not None
    assert known["features_picture"].dtype == np.float16  # kept as this graph takes them
    assert half.remember("again", known)
    assert not half.remember("wide", wide)


def test_what_an_encoder_says_beyond_what_is_asked_is_passed_over(folder: Path) -> None:
    wanted = Restorer(load_manifest(folder), threads=1).restore(tasks(2))
    model = onnx.load(folder / "encode_references.onnx")
    model.graph.node.append(helper.make_node("GlobalAveragePool", ["features_picture"], ["features_person"]))
    person = helper.make_tensor_value_info("features_person", TensorProto.FLOAT, ["N", 3, 1, 1])
    model.graph.output.insert(0, person)
    add_graph(folder, "encode_references", model)
    restorer = Restorer(load_manifest(folder), threads=1)
    found = restorer.restore(tasks(2))
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(found, wanted, strict=True))
    known = restorer.recall("2-0")
    assert known is not None
    assert list(known) == ["features_picture"]


def test_a_model_without_the_wanted_precision_runs_in_fp32_and_says_so(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    restorer = Restorer(load_manifest(folder), precision=Precision.FP16, threads=1)
    assert restorer.precision is Precision.FP32
    assert "refstar 0 has no graph restore_fp16: it runs in fp32" in caplog.text
    assert restorer.encoder == Restorer(load_manifest(folder), threads=1).encoder


def test_a_precision_is_held_to_a_tolerance_of_its_own(folder: Path) -> None:
    add_graph(folder, "restore_int8", onnx.load(folder / "restore.onnx"))
    manifest: Any = json.loads((folder / "model.json").read_text())
    manifest["golden"] = {"block_means": [128.0] * 192, "tolerance": 0.5, "tolerance_int8": 256}
    (folder / "model.json").write_text(json.dumps(manifest))
    Restorer(load_manifest(folder), precision=Precision.INT8, threads=1).warm_up()
    with pytest.raises(ModelError, match=r"allowed 0\.5; cpu in fp32"):
        Restorer(load_manifest(folder), threads=1).warm_up()
