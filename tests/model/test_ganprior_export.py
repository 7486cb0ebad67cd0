"""System 3 as a graph: parity, batches, types."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import refstar_service
import torch
from refstar_model.export.card import Publication
from refstar_model.export.golden import golden_picture
from refstar_model.export.graph import PARITY, Graph, export_graph, round_weights
from refstar_model.export.half_types import emulate_halves, halve_types
from refstar_model.export.restoring import TrainedRestorer
from refstar_model.export.views import View
from refstar_model.ganprior.export_view import view_network
from refstar_model.ganprior.network import GanPrior
from refstar_model.ganprior.params import TINY
from refstar_model.ganprior.system import CARD
from refstar_model.ganprior.weights import find_first_weights

SHIPPED = Path(refstar_service.__file__).parent / "zoo/ganprior"


@pytest.fixture(scope="module")
def view() -> View:
    torch.manual_seed(0)
    net = GanPrior(TINY)
    with torch.no_grad():
        for value in net.parameters():
            value.add_(torch.randn_like(value) * 0.05)
    round_weights(net)
    net.eval()
    return view_network(net).restore


def given(count: int) -> dict[str, np.ndarray]:
    pictures = [np.roll(golden_picture(TINY.size), 9 * i, 0) for i in range(count)]
    return {"low_quality": np.stack(pictures)}


@pytest.fixture(scope="module")
def written(view: View, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    path = tmp_path_factory.mktemp("graph") / "restore.onnx"
    inputs = {name: torch.from_numpy(value) for name, value in given(2).items()}
    graph = Graph("restore", view.module, inputs, view.outputs, check_only=("exact",))
    return path, export_graph(graph, path)


def session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def test_the_graph_computes_what_torch_does_for_any_number_of_faces(
    written: tuple[Path, float], view: View
) -> None:
    path, parity = written
    assert parity < PARITY
    restored, finite = session(onnx.load(str(path))).run(None, given(5))
    wanted = view.run({n: torch.from_numpy(v) for n, v in given(5).items()})["restored"].numpy()
    assert np.abs(restored.astype(int) - wanted).max() <= 1
    assert np.abs(restored.astype(int) - given(5)["low_quality"]).mean() > 1
    assert finite.all()


def test_a_face_gets_the_same_bytes_alone_and_in_company(written: tuple[Path, float]) -> None:
    loaded = session(onnx.load(str(written[0])))
    together = loaded.run(None, given(3))[0]
    for index in range(3):
        alone = loaded.run(None, {name: value[index : index + 1] for name, value in given(3).items()})[0]
        assert np.array_equal(alone[0], together[index])


def test_no_sum_depends_on_the_batch(written: tuple[Path, float]) -> None:
    operators = {node.op_type for node in onnx.load(str(written[0])).graph.node}
    assert not {"ReduceMean", "ReduceSum", "RandomNormalLike", "RandomNormal"} & operators


def test_the_graph_has_neither_references_nor_knobs(written: tuple[Path, float]) -> None:
    graph = onnx.load(str(written[0])).graph
    assert [i.name for i in graph.input] == ["low_quality"]
    assert [o.name for o in graph.output] == ["restored", "finite"]


def test_a_result_that_is_not_finite_is_told(view: View) -> None:
    bias = view.module.net.net.finest.out.bias
    kept = bias.detach().clone()
    try:
        with torch.no_grad():
            bias[0] = float("nan")
        finite = view.run({n: torch.from_numpy(v) for n, v in given(2).items()})["finite"]
    finally:
        with torch.no_grad():
            bias.copy_(kept)
    assert not finite.any()


def test_halves_give_nearly_the_same(written: tuple[Path, float]) -> None:
    model = onnx.load(str(written[0]))
    half = halve_types(model)
    onnx.checker.check_model(half)
    full, rounded = (session(m).run(None, given(2))[0].astype(int) for m in (model, emulate_halves(half)))
    assert 0 < np.abs(full - rounded).max() <= 4


def test_training_can_begin_at_an_exported_model(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = GanPrior(TINY).eval()
    with torch.no_grad():
        for value in net.parameters():
            value.add_(torch.randn_like(value) * 0.05)
        # Their gradients are equal, so that any training leaves them equal; the exporter writes one for both.
        net.finest.features.bias.copy_(net.finest.look.bias)
    pictures = torch.from_numpy(given(2)["low_quality"]).permute(0, 3, 1, 2) / 255
    with torch.no_grad():
        wanted = net(pictures).picture
    folder = tmp_path / "model"
    TrainedRestorer(view_network(net), CARD, 7).export(folder, Publication("mine"))
    fresh = GanPrior(TINY)
    weights = find_first_weights(fresh, folder, None)
    assert weights is not None
    again = GanPrior(TINY).eval()
    again.load_state_dict(weights)
    with torch.no_grad():
        assert (wanted - pictures).abs().mean() > 0.01
        assert torch.allclose(again(pictures).picture, wanted, atol=2e-3)  # weights were rounded to fp16
    with pytest.raises(ValueError, match="is of another network"):
        find_first_weights(GanPrior(replace(TINY, attention_layers=2)), folder, None)
    with pytest.raises(ValueError, match="is of another network"):
        find_first_weights(GanPrior(replace(TINY, finest=16)), folder, None)


def test_training_can_begin_at_the_shipped_model() -> None:
    assert find_first_weights(GanPrior(), SHIPPED, None) is not None
