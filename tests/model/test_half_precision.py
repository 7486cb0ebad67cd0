"""fp16 graphs stand beside the others, compute nearly the same, and keep fp32 where halves would not do."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from refstar_model.evaluation import FolderModel
from refstar_model.export import golden, half_precision, restoring
from refstar_model.export.card import Publication
from refstar_model.export.graph import Graph, ParityError, write_folder
from refstar_model.export.half_precision import add_half_graphs
from refstar_model.export.half_types import element_types, emulate_halves, halve_types
from refstar_model.export.views import SELECTION
from refstar_model.refstar.export_view import view_network
from refstar_model.refstar.network import TINY, RefStar
from refstar_model.refstar.system import CARD
from refstar_service.engine.manifest import load_manifest
from refstar_service.engine.provider import Precision
from refstar_service.engine.restorer import FaceTask, ReferencePicture, Restorer

GRAPHS = ("encode_references", "restore", "restore_alone")


def outputs(model: onnx.ModelProto, operators: Sequence[str]) -> set[int]:
    """Element types of what these operators return, where it depends on an input."""
    types = element_types(model)
    varying = {i.name for i in model.graph.input}
    found = set()
    for node in model.graph.node:
        if node.op_type != "Shape" and not varying.isdisjoint(node.input):
            varying.update(node.output)
            if node.op_type in operators:
                found.add(types[node.output[0]])
    return found


@pytest.mark.parametrize("name", GRAPHS)
def test_inputs_and_outputs_are_as_in_fp32(tiny_folder: Path, name: str) -> None:
    full, half = (onnx.load(str(tiny_folder / f"{n}.onnx")) for n in (name, f"{name}_fp16"))
    onnx.checker.check_model(half)
    assert half.graph.input == full.graph.input
    assert half.graph.output == full.graph.output


def test_norms_softmax_and_pictures_are_fp32(tiny_folder: Path) -> None:
    model = onnx.load(str(tiny_folder / "restore_fp16.onnx"))
    careful = ["Softmax", "Sqrt", "Reciprocal", "Sigmoid", "Pow", "GridSample", "Round"]
    assert outputs(model, careful) == {TensorProto.FLOAT}
    types, producers = element_types(model), {name: n for n in model.graph.node for name in n.output}
    squares = [n for n in model.graph.node if n.op_type == "Mul" and n.input[0] == n.input[1]]
    assert squares
    assert {types[n.output[0]] for n in squares} == {TensorProto.FLOAT}
    # Norms are means over channels, whose kernels are 1 / C everywhere.
    means = [n for n in model.graph.node if n.op_type == "Conv" and types[n.output[0]] == TensorProto.FLOAT]
    initializers = {t.name: t for t in model.graph.initializer}
    for node in means:
        cast = producers.get(node.input[1])
        kernel = numpy_helper.to_array(initializers[cast.input[0] if cast else node.input[1]])
        assert kernel.shape[0] == 1
        assert np.ptp(kernel) == 0


def test_layers_compute_in_halves(tiny_folder: Path) -> None:
    model = onnx.load(str(tiny_folder / "restore_fp16.onnx"))
    types = element_types(model)
    dense = [n for n in model.graph.node if n.op_type == "Conv" and types[n.output[0]] == TensorProto.FLOAT16]
    assert len(dense) > 2 * sum(n.op_type == "Conv" for n in model.graph.node) // 3
    assert outputs(model, ["DepthToSpace", "Gelu"]) == {TensorProto.FLOAT16}
    # Attention: its weights come from a softmax in fp32, and are halved for the product.
    producers = {name: n for n in model.graph.node for name in n.output}
    attended = [
        n
        for n in model.graph.node
        if n.op_type == "MatMul"
        and (cast := producers.get(n.input[0])) is not None
        and cast.op_type == "Cast"
        and cast.input[0] in producers
        and producers[cast.input[0]].op_type == "Softmax"
    ]
    assert attended
    assert {types[n.output[0]] for n in attended} == {TensorProto.FLOAT16}


def test_the_weights_are_those_of_the_fp32_graphs(tiny_folder: Path) -> None:
    def places(name: str) -> set[str]:
        graph = onnx.load(str(tiny_folder / f"{name}.onnx"), load_external_data=False).graph
        return {e.value for t in graph.initializer for e in t.external_data if e.key == "offset"}

    for name in GRAPHS:
        assert places(f"{name}_fp16")
        assert places(f"{name}_fp16") <= places(name)


def test_the_result_is_nearly_that_of_fp32(tiny_folder: Path) -> None:
    face = golden.golden_picture(128)
    full, half = FolderModel(tiny_folder), FolderModel(tiny_folder, precision="fp16")
    for references in ([], [face[:, ::-1]]):
        difference = np.abs(full(face, references).picture.astype(int) - half(face, references).picture)
        assert difference.max() <= 2
    features, rounded_features = (model.encode_reference(face) for model in (full, half))
    for name, exact in features.items():
        rounded = rounded_features[name]
        apart = np.abs(exact.astype(np.float64) - rounded).max() / max(1.0, np.abs(exact).max())
        # Not 0, but for the picture: a CPU must not compute in fp32 what it says of fp16.
        assert apart == 0 if exact.dtype == np.uint8 else 0 < apart < 0.01
    manifest = json.loads((tiny_folder / "model.json").read_text())
    assert manifest["golden"]["tolerance"] <= manifest["golden"]["tolerance_fp16"] < 2


def test_the_service_runs_it(tiny_folder: Path) -> None:
    face = golden.golden_picture(128)
    task = FaceTask(face, (ReferencePicture("a", face[:, ::-1]),), 1.0, 0.5)
    results = []
    for precision in (Precision.FP32, Precision.FP16):
        model = Restorer(load_manifest(tiny_folder), precision=precision)
        model.warm_up()
        results.append(model.restore([task])[0].pixels.astype(int))
    assert np.abs(results[0] - results[1]).max() <= 2


def through_halves() -> onnx.ModelProto:
    value = helper.make_tensor_value_info
    nodes = [
        helper.make_node("Cast", ["x"], ["half"], to=TensorProto.FLOAT16),
        helper.make_node("Mul", ["half", "third"], ["product"]),
        helper.make_node("Cast", ["half"], ["rounded"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["product"], ["scaled"], to=TensorProto.FLOAT),
    ]
    graph = helper.make_graph(
        nodes,
        "through-halves",
        [value("x", TensorProto.FLOAT, ["n"])],
        [value("rounded", TensorProto.FLOAT, ["n"]), value("scaled", TensorProto.FLOAT, ["n"])],
        [numpy_helper.from_array(np.float16(1 / 3), "third")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def test_rounding_is_that_of_fp16() -> None:
    rng = np.random.default_rng(1)
    x = (rng.choice([-1, 1], 10_000) * 10.0 ** rng.uniform(-3, 4, 10_000)).astype(np.float32)
    session = onnxruntime.InferenceSession(
        emulate_halves(through_halves()).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    rounded, scaled = session.run(["rounded", "scaled"], {"x": x})
    half = x.astype(np.float16)
    assert np.array_equal(rounded, half.astype(np.float32))
    exact = half.astype(np.float32) * np.float32(np.float16(1 / 3))
    assert np.array_equal(scaled, exact.astype(np.float16).astype(np.float32))


class Sum(torch.nn.Module):
    """Adds so much and takes it off again that halves cannot tell; a convolution first, or all would stay fp32."""

    def __init__(self, much: float) -> None:
        super().__init__()
        self.much = much
        self.conv = torch.nn.Conv2d(2, 2, 1, bias=False)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor]:
        with torch.no_grad():
            self.conv.weight.copy_(torch.eye(2)[:, :, None, None])
        return ((self.conv(x) + self.much) * 0.5 - self.much * 0.5,)


def test_a_graph_that_halves_spoil_is_not_written(tmp_path: Path) -> None:
    folder, x = tmp_path / "model", torch.linspace(0, 1, 32).reshape(2, 2, 2, 4)
    write_folder(folder, [Graph("sum", Sum(3000.0), {"x": x}, ("y",))], {"golden": {"tolerance": 1.0}})
    before = {file: file.read_bytes() for file in folder.iterdir()}
    with pytest.raises(ParityError, match=r"sum: output y differs by \d\.\de-01 of its range in fp16"):
        add_half_graphs(folder, {"sum": {"x": x.numpy()}})
    assert {file: file.read_bytes() for file in folder.iterdir()} == before


def test_single_places_of_the_selection_may_differ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(half_precision, "FolderModel", lambda *_, **__: None)
    monkeypatch.setattr(half_precision, "golden_distance", lambda *_: 0.0)

    def add_half(output: str, places: int) -> None:
        x = torch.zeros(2, 2, 8, 8)
        x.flatten()[:places] = 0.06
        folder = tmp_path / f"{output}_{places}"
        write_folder(folder, [Graph("sum", Sum(200.0), {"x": x}, (output,))], {"golden": {"tolerance": 1.0}})
        add_half_graphs(folder, {"sum": {"x": x.numpy()}})

    add_half(SELECTION, 2)
    with pytest.raises(ParityError, match="output restored differs by"):
        add_half("restored", 2)
    with pytest.raises(ParityError, match="output selection differs by"):
        add_half(SELECTION, 4)


def test_nothing_is_published_of_a_net_that_halves_spoil(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def written(folder: Path, *_: object) -> None:
        (folder / "restore.onnx").write_bytes(b"as fp32 it is fine")

    def refused(*_: object) -> None:
        raise ParityError

    monkeypatch.setattr(restoring, "write_folder", written)
    monkeypatch.setattr(restoring, "add_half_graphs", refused)
    views = view_network(RefStar(replace(TINY, size=128, unshuffle=8)))
    with pytest.raises(ParityError):
        restoring.export_restorer(views, CARD, Publication("refstar"), 1, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_a_graph_without_convolutions_stays_as_it_is(tmp_path: Path) -> None:
    folder, x = tmp_path / "model", torch.linspace(0, 1, 32).reshape(2, 2, 2, 4)

    class Twice(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor]:
            return (x * 2,)

    write_folder(folder, [Graph("twice", Twice(), {"x": x}, ("y",))], {})
    model = onnx.load(str(folder / "twice.onnx"))
    assert halve_types(model).graph.node == model.graph.node
