"""Weights of several graphs in one file: what is equal is stored once."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from refstar_model.export.shared_weights import share_weights


def write_graph(path: Path, weights: np.ndarray) -> Path:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [None]) for name in "xy")
    nodes = [helper.make_node("Identity", ["x"], ["y"])]
    onnx.save(
        helper.make_model(helper.make_graph(nodes, "g", [x], [y], [numpy_helper.from_array(weights, "w")])),
        str(path),
    )
    return path


def read_weights(path: Path) -> np.ndarray:
    return numpy_helper.to_array(onnx.load(str(path)).graph.initializer[0])


def test_equal_weights_are_stored_once_and_those_of_a_host_not_again(tmp_path: Path) -> None:
    first, second = (np.arange(start, start + 512, dtype=np.float32) for start in (0, 1))
    host = write_graph(tmp_path / "host.onnx", first)
    share_weights([host], tmp_path / "weights.bin")
    same, other = write_graph(tmp_path / "a.onnx", first), write_graph(tmp_path / "b.onnx", second)
    share_weights([same, other], tmp_path / "guest_weights.bin", [host])
    assert (tmp_path / "guest_weights.bin").read_bytes() == second.tobytes()
    assert np.array_equal(read_weights(same), first)
    assert np.array_equal(read_weights(other), second)


@pytest.mark.parametrize("kind", [np.float16, np.float32])
def test_the_sign_of_a_zero_makes_no_difference(tmp_path: Path, kind: type) -> None:
    plus = np.ones(512, kind)
    plus[:3] = 0
    minus = np.copysign(plus, -1)
    minus[3:] = 1
    graphs = [write_graph(tmp_path / f"{index}.onnx", each) for index, each in enumerate((minus, plus))]
    share_weights(graphs, tmp_path / "weights.bin")
    assert (tmp_path / "weights.bin").read_bytes() == minus.tobytes()
    assert np.array_equal(read_weights(graphs[1]), plus)
