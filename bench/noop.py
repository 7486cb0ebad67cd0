"""A model folder that computes nothing: the face comes back as it went in. What is left is the service's own cost."""

import sys
from pathlib import Path

import onnx
from onnx import TensorProto, helper

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from small_model import write_model_folder

SIDE = 512
GRID = 64  # of the selection


def write_noop_model(models: Path, detector: Path) -> Path:
    """``models``/refstar, with the same inputs and outputs as the shipped model; the detector's folder beside it.

    Returns the model's folder.
    """
    folder = models / "refstar"
    graphs = {"encode_references": _encoder(), "restore": _restorer()}
    write_model_folder(folder, graphs, SIDE, "no-op", "none: it computes nothing", "of measurements")
    (models / "detector").symlink_to(detector)
    return folder


def _encoder() -> onnx.GraphProto:
    corner = [_constant(name, values) for name, values in (("from", [0, 0, 0]), ("to", [1, 1, 1]))]
    axes = _constant("axes", [1, 2, 3])
    nodes = [
        helper.make_node("Slice", ["references", "from", "to", "axes"], ["pixel"]),
        helper.make_node("Cast", ["pixel"], ["features_none"], to=TensorProto.FLOAT),
    ]
    info = helper.make_tensor_value_info
    return helper.make_graph(
        nodes,
        "encode_references",
        [info("references", TensorProto.UINT8, ["N", SIDE, SIDE, 3])],
        [info("features_none", TensorProto.FLOAT, ["N", 1, 1, 1])],
        [*corner, axes],
    )


def _restorer() -> onnx.GraphProto:
    node, info = helper.make_node, helper.make_tensor_value_info
    fixed = [
        _constant("grid_axes", [2, 3]),
        _constant("grid", [1, 1, GRID, GRID]),
        _constant("feature_axes", [2, 3, 4]),
        helper.make_tensor("full", TensorProto.FLOAT, [], [255.0]),
        helper.make_tensor("never", TensorProto.FLOAT, [], [-1.0]),
    ]
    nodes = [
        node("Identity", ["low_quality"], ["restored"]),
        # The features have a part in it, or their input would be dropped.
        node("ReduceMax", ["features_none", "feature_axes"], ["none"], keepdims=0),
        node("Max", ["none", "full"], ["bright"]),
        node("Mul", ["reference_weight", "bright"], ["shown"]),
        node("Unsqueeze", ["shown", "grid_axes"], ["shown_4"]),
        node("Expand", ["shown_4", "grid"], ["shown_grid"]),
        node("Cast", ["shown_grid"], ["selection"], to=TensorProto.UINT8),
        node("Greater", ["fidelity", "never"], ["finite"]),
    ]
    return helper.make_graph(
        nodes,
        "restore",
        [
            info("low_quality", TensorProto.UINT8, ["B", SIDE, SIDE, 3]),
            info("features_none", TensorProto.FLOAT, ["B", "R", 1, 1, 1]),
            info("reference_weight", TensorProto.FLOAT, ["B", "R"]),
            info("fidelity", TensorProto.FLOAT, ["B"]),
        ],
        [
            info("restored", TensorProto.UINT8, ["B", SIDE, SIDE, 3]),
            info("selection", TensorProto.UINT8, ["B", "R", GRID, GRID]),
            info("finite", TensorProto.BOOL, ["B"]),
        ],
        fixed,
    )


def _constant(name: str, values: list[int]) -> onnx.TensorProto:
    return helper.make_tensor(name, TensorProto.INT64, [len(values)], values)
