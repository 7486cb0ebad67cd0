"""torch and the written graphs agree, or nothing is written."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from refstar_model import golden
from refstar_model.evaluation import FolderModel, band_transfer
from refstar_model.export import Graph, ParityError, export_graph, write_folder
from refstar_model.refstar.network import RefStar, RefStarParams
from refstar_model.refstar.publishing import publish
from refstar_service.engine import restorer
from refstar_service.engine.manifest import load_manifest
from refstar_service.engine.restorer import FaceTask, ReferencePicture, Restorer

PARAMS = RefStarParams(128, 8, (8, 8, 16), (1, 1), 1, (1, 1), (1, 1, 1), 8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    net = RefStar(PARAMS)
    with torch.no_grad():
        for value in net.parameters():
            value.add_(torch.randn_like(value) * 0.02)
    target = tmp_path_factory.mktemp("zoo") / "tiny"
    publish(net, 0, target)
    return target


def test_the_service_runs_what_the_exporter_wrote(folder: Path) -> None:
    model = Restorer(load_manifest(folder), max_batch=4)
    model.warm_up()
    face = golden.golden_picture(128)
    results = model.restore(
        [FaceTask(face, (ReferencePicture(str(i), face),) * i, 1.0, 0.5) for i in (0, 1, 3)]
    )
    assert [len(r.selection) for r in results] == [0, 1, 3]
    assert all(r.finite for r in results)


def test_the_graphs_keep_the_contract(folder: Path) -> None:
    graph = onnx.load(str(folder / "restore.onnx"))
    assert graph.opset_import[0].version == 20
    inputs = [i.name for i in graph.graph.input]
    assert inputs[0] == "low_quality"
    assert inputs[-2:] == ["reference_weight", "fidelity"]
    assert [o.name for o in graph.graph.output] == ["restored", "selection", "finite"]
    # Its order of summation depends on the batch: a face would not get the same bytes in company.
    assert not {"ReduceMean", "ReduceSum"} & {node.op_type for node in graph.graph.node}
    batch = graph.graph.input[0].type.tensor_type.shape.dim[0]
    assert batch.dim_param  # dynamic
    manifest = json.loads((folder / "model.json").read_text())
    assert all(g["parity"] <= 1e-3 for g in manifest["graphs"].values())


def test_no_graph_carries_paths_of_the_machine_that_wrote_it(folder: Path) -> None:
    for name in ("restore.onnx", "encode_references.onnx"):
        data = (folder / name).read_bytes()
        assert str(Path.home()).encode() not in data
        assert b"site-packages" not in data
        assert str(Path(__file__).parents[2]).encode() not in data


def test_a_graph_that_differs_from_torch_is_not_written(tmp_path: Path) -> None:
    class Unsteady(torch.nn.Module):
        """Answers otherwise each time it is asked by torch, so no graph can agree with it."""

        calls = 0

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor]:
            if not torch.compiler.is_exporting():
                self.calls += 1
                return (x + 0.01 * self.calls,)
            return (x,)

    graph = Graph("unsteady", Unsteady(), {"x": torch.zeros(2, 3)}, ("y",))
    with pytest.raises(ParityError, match=r"unsteady: output y differs by 1\.00e-02"):
        write_folder(tmp_path / "model", [graph], {})
    assert not list(tmp_path.rglob("*.onnx"))


def test_not_a_number_is_a_parity_error_too(tmp_path: Path) -> None:
    class Undefined(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor]:
            return (x / x,)

    with pytest.raises(ParityError):
        export_graph(Graph("undefined", Undefined(), {"x": torch.zeros(2, 3)}, ("y",)), tmp_path / "x.onnx")


def test_exporter_and_service_draw_the_same_golden_picture() -> None:
    for size in (128, 512):
        assert np.array_equal(golden.golden_picture(size), restorer.golden_picture(size))
    picture = restorer.golden_picture(128)
    assert np.allclose(golden.block_means(picture), restorer.block_means(picture))


def test_the_evaluator_runs_a_folder_with_and_without_references(folder: Path) -> None:
    model = FolderModel(folder)
    face = golden.golden_picture(128)
    restored, selection = model(face, [face, face])
    assert restored.shape == face.shape
    assert selection.shape[0] == 2
    none, empty = model(face, [])
    assert not empty.any()
    assert not np.array_equal(none, restored)


def test_band_transfer_brings_the_references_detail_into_the_face_window_only() -> None:
    flat = np.full((512, 512, 3), 128, np.uint8)
    reference = (
        np.where(np.indices((512, 512)).sum(0)[..., None] % 8 < 4, 100, 156).astype(np.uint8).repeat(3, -1)
    )
    out = band_transfer(flat, reference)
    assert out[280:300, 240:260].std() > 10
    assert np.array_equal(out[:10], flat[:10])
