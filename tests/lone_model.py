"""A model folder of another kind than the shipped one: no references, no fidelity; its result is the face inverted."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from small_model import SIDE, write_model_folder


def write_lone_model(folder: Path) -> None:
    """As ``folder/lone``, the default without references."""
    write_model_folder(
        folder / "lone",
        {"restore": inverter()},
        SIDE,
        "1",
        "none",
        "of tests",
        name="lone",
        max_references=0,
        ranks={"without_references": 1},
    )


def inverter(name: str = "low_quality") -> onnx.GraphProto:
    """255 minus the input that is called so."""
    values = {
        "white": np.array(255, np.float32),
        "never": np.array(-1, np.float32),
        "axes": np.array([1, 2, 3], np.int64),
    }
    node, info = helper.make_node, helper.make_tensor_value_info
    return helper.make_graph(
        [
            node("Cast", [name], ["face"], to=TensorProto.FLOAT),
            node("Sub", ["white", "face"], ["inverted"]),
            node("Cast", ["inverted"], ["restored"], to=TensorProto.UINT8),
            node("ReduceMax", ["inverted", "axes"], ["most"], keepdims=0),
            node("Greater", ["most", "never"], ["finite"]),
        ],
        "restore",
        [info(name, TensorProto.UINT8, ["B", SIDE, SIDE, 3])],
        [
            info("restored", TensorProto.UINT8, ["B", SIDE, SIDE, 3]),
            info("finite", TensorProto.BOOL, ["B"]),
        ],
        [numpy_helper.from_array(array, key) for key, array in values.items()],
    )
