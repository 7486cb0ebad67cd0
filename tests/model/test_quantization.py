"""int8 graphs stand beside the others, compute nearly the same, and the service can run them."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from refstar_model.commands.publish import draw_calibration_faces
from refstar_model.data.photos import PhotoSet
from refstar_model.evaluation import FolderModel
from refstar_model.export import golden
from refstar_model.export.quantization import quantize
from refstar_service.engine.manifest import load_manifest
from refstar_service.engine.provider import Precision
from refstar_service.engine.restorer import FaceTask, ReferencePicture, Restorer


@pytest.fixture(scope="module")
def folder(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory, photos: PhotoSet) -> Path:
    target = tmp_path_factory.mktemp("quantized") / "tiny"
    shutil.copytree(tiny_folder, target)
    quantize(target, draw_calibration_faces(photos.split("train"), 2), worth=10_000)
    return target


def test_large_convolutions_hold_int8_weights(folder: Path) -> None:
    manifest = json.loads((folder / "model.json").read_text())
    for name in ("restore_int8", "restore_alone_int8"):
        graph = onnx.load(str(folder / f"{name}.onnx")).graph
        small = {
            t.name for t in graph.initializer if t.data_type == onnx.TensorProto.INT8 and len(t.dims) == 4
        }
        weights = {node.output[0] for node in graph.node if small.intersection(node.input)}
        # Convolutions that look at the degraded face and at the restored one share their weights.
        count = sum(node.op_type == "Conv" and node.input[1] in weights for node in graph.node)
        assert count == manifest["graphs"][name]["quantized"] >= len(small) > 5


def test_the_int8_graphs_compute_nearly_what_the_others_do(folder: Path) -> None:
    face = golden.golden_picture(128)
    exact, rounded = FolderModel(folder), FolderModel(folder, precision="int8")
    for references in ([], [face[:, ::-1]]):
        difference = np.abs(exact(face, references).picture.astype(int) - rounded(face, references).picture)
        assert 0 < difference.mean() < 3


def test_the_service_runs_either_and_tells_their_results_apart(folder: Path) -> None:
    task = FaceTask(
        golden.golden_picture(128), (ReferencePicture("a", golden.golden_picture(128)),), 1.0, 0.5
    )
    results = []
    for precision in (Precision.FP32, Precision.INT8):
        model = Restorer(load_manifest(folder), precision=precision)
        model.warm_up()
        results.append(model.restore([task])[0].pixels)
    assert not np.array_equal(*results)


def test_the_fp32_graphs_stay_as_they_are(folder: Path, tiny_folder: Path) -> None:
    face = golden.golden_picture(128)
    one, other = (FolderModel(f)(face, [face]).picture for f in (folder, tiny_folder))
    assert np.array_equal(one, other)
