"""torch and the written graphs agree, or nothing is written."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from drawn_net import draw_net
from refstar_model.evaluation import FolderModel
from refstar_model.export import golden
from refstar_model.export.graph import Graph, ParityError, export_graph, write_folder
from refstar_model.refstar.export_view import view_network
from refstar_model.refstar.network import TINY, RefStar, Restoration
from refstar_model.refstar.weights import find_first_weights
from refstar_service.engine import restorer
from refstar_service.engine.errors import ModelError
from refstar_service.engine.manifest import load_manifest
from refstar_service.engine.restorer import FaceTask, ReferencePicture, Restorer


@pytest.fixture(scope="module")
def folder(tiny_folder: Path) -> Path:
    return tiny_folder


def test_the_service_runs_what_the_exporter_wrote(folder: Path) -> None:
    manifest = load_manifest(folder)
    assert (manifest.ranks.with_references, manifest.ranks.without_references) == (1, 2)
    assert manifest.knobs == {"fidelity", "reference_strength", "stranger"}
    model = Restorer(manifest, max_batch=4)
    model.warm_up()
    face = golden.golden_picture(128)
    results = model.restore(
        [FaceTask(face, (ReferencePicture(str(i), face),) * i, 1.0, 0.5) for i in (0, 1, 3)]
    )
    assert [len(r.selection) for r in results] == [0, 1, 3]
    assert all(r.finite for r in results)


def test_both_knobs_reach_the_result_and_references_may_come_in_any_order(folder: Path) -> None:
    model = Restorer(load_manifest(folder), max_batch=4)
    face = golden.golden_picture(128)
    references = tuple(ReferencePicture(str(i), np.roll(face, 16 * i, (0, 1))) for i in range(8))
    # One level is what rounding makes of sums in another order.
    for count in (2, 8):
        forward, backward = model.restore(
            [FaceTask(face, order, 1.0, 0.5) for order in (references[:count], references[:count][::-1])]
        )
        assert len(forward.selection) == count
        assert np.abs(forward.pixels.astype(int) - backward.pixels).max() <= 1
        assert np.abs(forward.selection[::-1].astype(int) - backward.selection).max() <= 1
    usual, *others = (
        model.restore([FaceTask(face, references[1:2], *knobs)])[0].pixels.astype(int)
        for knobs in ((1.0, 0.5), (0.5, 0.5), (0.0, 0.5), (1.0, 0.0), (1.0, 1.0))
    )
    assert all(np.abs(usual - other).mean() > 0.2 for other in others)


def test_who_references_show_is_said_of_each_and_may_be_set_aside(folder: Path) -> None:
    model = FolderModel(folder)
    face = golden.golden_picture(128)
    encoded = [model.encode_reference(np.roll(face, 16 * i, (0, 1))) for i in range(3)]
    given = {name: np.concatenate([one[name] for one in encoded])[None] for name in encoded[0]}
    given |= {"low_quality": face[None], "fidelity": np.full(1, 0.5, np.float32)}

    def restore(strength: float, *weight: float) -> dict[str, np.ndarray]:
        more = {
            "gate_strength": np.full(1, strength, np.float32),
            "reference_weight": np.array([weight], "f"),
        }
        return model.restore.run({**given, **more})

    gated, full = restore(1.0, 1, 1, 0), restore(0.0, 1, 1, 0)
    for answer in (gated, full):
        for name in ("same_person", "likeness"):
            assert answer[name].shape == (1, 3)
            assert answer[name][0, 2] == 0
            assert ((answer[name][0, :2] > 0) & (answer[name][0, :2] < 1)).all()
    assert np.array_equal(gated["same_person"], full["same_person"])
    # What the gate weighs by is what it says.
    same = gated["same_person"][0]
    assert np.abs(restore(0.0, *same)["restored"].astype(int) - gated["restored"]).max() <= 1
    assert not np.array_equal(gated["restored"], full["restored"])
    # The result is judged as it is: shown again, it is the same person by as much.
    given["low_quality"] = gated["restored"]
    assert np.allclose(restore(1.0, 1, 1, 0)["same_person"], gated["likeness"], atol=1e-5)


def test_a_network_without_a_gate_has_none_of_it() -> None:
    views = view_network(RefStar(replace(TINY, gate=False)))
    assert views.restore.inputs[-1] == "features_picture"
    assert views.restore.outputs == ("restored", "selection", "finite", "exact")
    with pytest.raises(ValueError, match=r"restore returns \['likeness'\] of a gate"):
        replace(views, restore=replace(views.restore, outputs=("restored", "likeness", "finite")))


def test_a_face_gets_the_same_bytes_alone_and_in_company(folder: Path) -> None:
    model = Restorer(load_manifest(folder), max_batch=4)
    face = golden.golden_picture(128)
    tasks = [
        FaceTask(np.roll(face, 9 * i, 0), (ReferencePicture(str(i), face),) * i, 1.0, 0.3)
        for i in (1, 0, 2, 3)
    ]
    together = model.restore(tasks)
    for task, result in zip(tasks, together, strict=True):
        (alone,) = model.restore([task])
        assert np.array_equal(alone.pixels, result.pixels)
        if task.references:
            assert alone.same_person is not None
            assert alone.likeness is not None
            assert np.array_equal(alone.same_person, result.same_person)
            assert np.array_equal(alone.likeness, result.likeness)


def test_a_face_without_references_gets_what_the_whole_network_gives_with_none(folder: Path) -> None:
    manifest = load_manifest(folder)
    whole = replace(manifest, graphs={k: v for k, v in manifest.graphs.items() if k != "restore_alone"})
    task = FaceTask(golden.golden_picture(128), (), 1.0, 0.2)
    [alone], [beside] = (Restorer(m, max_batch=1).restore([task]) for m in (manifest, whole))
    # Another order of sums: now and then a level.
    difference = np.abs(alone.pixels.astype(int) - beside.pixels)
    assert difference.max() <= 1
    assert difference.mean() < 0.01
    assert len(alone.selection) == 0


def test_what_graphs_have_in_common_is_stored_once(folder: Path) -> None:
    def places(name: str) -> set[tuple[str, ...]]:
        graph = onnx.load(str(folder / f"{name}.onnx"), load_external_data=False).graph
        return {tuple(e.value for e in t.external_data) for t in graph.initializer if t.external_data}

    alone, beside = places("restore_alone"), places("restore")
    assert len(alone & beside) > 0.8 * len(alone)
    stored = sum(int(length) for _, _, length in alone | beside | places("encode_references"))
    assert (folder / "weights.bin").stat().st_size < stored * 1.05


def test_weights_that_were_changed_are_refused(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "model"
    shutil.copytree(folder, copy)
    with (copy / "weights.bin").open("r+b") as file:
        file.write(b"\1")
    with pytest.raises(ModelError, match=r"weights\.bin: sha256 is"):
        Restorer(load_manifest(copy))


def test_the_graphs_keep_the_contract(folder: Path) -> None:
    graph = onnx.load(str(folder / "restore.onnx"))
    assert graph.opset_import[0].version == 20
    inputs = [i.name for i in graph.graph.input]
    assert inputs[0] == "low_quality"
    assert {"reference_weight", "fidelity"} <= set(inputs)
    assert {"gate_strength", "features_person"} <= set(inputs)
    outputs = [o.name for o in graph.graph.output]
    assert outputs == ["restored", "selection", "finite", "same_person", "likeness"]
    # Its order of summation depends on the batch: a face would not get the same bytes in company.
    assert not {"ReduceMean", "ReduceSum"} & {node.op_type for node in graph.graph.node}
    batch = graph.graph.input[0].type.tensor_type.shape.dim[0]
    assert batch.dim_param  # dynamic
    manifest = json.loads((folder / "model.json").read_text())
    for name, described in manifest["graphs"].items():
        assert described["parity"] <= (4 / 255 if name.endswith("_fp16") else 1e-3)


def test_no_graph_carries_paths_of_the_machine_that_wrote_it(folder: Path) -> None:
    for name in ("restore.onnx", "restore_alone.onnx", "encode_references.onnx", "weights.bin"):
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
    face = golden.golden_picture(512)
    helped = model(face, [face, face])
    assert helped.picture.shape == face.shape
    assert len(helped.selection) == 2
    assert helped.same_person is not None
    assert helped.likeness is not None
    assert helped.same_person.shape == helped.likeness.shape == (2,)
    alone = model(face, [])
    assert not alone.selection.any()
    assert not np.array_equal(alone.picture, helped.picture)


def test_training_can_begin_at_an_exported_model(folder: Path) -> None:
    """Its weights are those of the network that was exported, rounded to fp16, but for what was folded."""
    params = replace(TINY, size=128, unshuffle=8)
    weights = find_first_weights(params, folder, None)
    assert weights is not None
    net, trained = RefStar(params).eval(), draw_net(params).eval()
    net.load_state_dict(weights)
    assert torch.allclose(net.gate.weigh, trained.gate.weigh, atol=1e-2)
    face = golden.golden_picture(128)
    pictures = torch.from_numpy(np.stack([face, np.roll(face, 16, 0)])).permute(0, 3, 1, 2) / 255

    def answer(of: RefStar) -> Restoration:
        with torch.no_grad():
            features = of.encode(pictures.flip(0).unsqueeze(1))
            given = pictures, pictures.flip(0).unsqueeze(1), features
            return of(*given, torch.ones(2, 1), torch.full((2,), 0.5))

    ours, theirs = answer(net), answer(trained)
    assert torch.allclose(ours.restored, theirs.restored, atol=5e-3)
    assert torch.allclose(ours.masks, theirs.masks, atol=5e-3)
    assert (theirs.restored - pictures).abs().mean() > 0.01
    with pytest.raises(ValueError, match="is of another network"):
        find_first_weights(replace(params, refinement=8), folder, None)
