"""Sessions on a CPU share their memory."""

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from refstar_service.engine.provider import Provider
from refstar_service.engine.session import Session

BYTES = 64 * 2**20


def in_memory() -> int:
    """Bytes of this process."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
    except OSError:
        pytest.skip("memory is read from /proc: Linux only")


def write_graph(path: Path, times: int = 1) -> Path:
    """Makes a value of ``BYTES`` and takes its maximum, so many ``times`` one after the other."""
    shape = np.array([BYTES // 4], np.int64)
    names = ["x", *(f"x{number}" for number in range(1, times)), "y"]
    nodes = []
    for number, (before, after) in enumerate(pairwise(names)):
        nodes.append(helper.make_node("Expand", [before, "shape"], [f"large{number}"]))
        nodes.append(helper.make_node("ReduceMax", [f"large{number}"], [after], keepdims=1))
    value = helper.make_tensor_value_info
    made = helper.make_graph(
        nodes,
        "large",
        [value("x", TensorProto.FLOAT, [1])],
        [value("y", TensorProto.FLOAT, [1])],
        [onnx.numpy_helper.from_array(shape, "shape")],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, path)
    return path


def test_what_one_session_took_for_a_run_serves_the_others_too(tmp_path: Path) -> None:
    graph = write_graph(tmp_path / "large.onnx")
    sessions = [Session(graph, Provider.CPU, threads=1) for _ in range(6)]
    question = {"x": np.ones(1, np.float32)}
    sessions[0].run(question)
    before = in_memory()
    for session in sessions[1:]:
        assert session.run(question)["y"] == 1
    assert in_memory() - before < 2 * BYTES  # the arena grows in doublings; of their own it would be five


def test_what_a_run_no_longer_needs_serves_the_rest_of_it(tmp_path: Path) -> None:
    graph = write_graph(tmp_path / "long.onnx", times=6)
    before = in_memory()
    session = Session(graph, Provider.CPU, threads=1)
    assert session.run({"x": np.ones(1, np.float32)})["y"] == 1
    assert in_memory() - before < 2 * BYTES


@pytest.mark.parametrize("module", ["binding", "bindings", "session", "restorer", "crowd"])
def test_onnxruntime_reports_nothing_whichever_module_is_imported_first(
    module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    told = (
        "import os, sys\n"
        "class Look:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'onnxruntime': print(os.environ.get('ORT_DISABLE_TELEMETRY'))\n"
        "sys.meta_path.insert(0, Look())\n"
        f"import refstar_service.engine.{module}"
    )
    seen = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True).stdout
    assert seen.split() == ["1"]
