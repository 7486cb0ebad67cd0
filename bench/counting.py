"""What a graph does for one face: multiplications, and bytes that its operators read and write."""

import json
import tempfile
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

_DTYPES = {"tensor(float)": np.float32, "tensor(uint8)": np.uint8}

#: Of these, onnxruntime passes the same memory on under another shape.
_FREE = {"Reshape", "Squeeze", "Unsqueeze", "Identity"}

Inputs = dict[str, NDArray[Any]]
Shape = list[int]


@dataclass(frozen=True)
class Work:
    """``multiplications``: in convolutions and products of matrices."""

    multiplications: int
    bytes: int


def one_face(loaded: ort.InferenceSession) -> Inputs:
    """Noise in the shapes of one face with one reference: the time does not depend on what is seen."""
    rng = np.random.default_rng(0)
    shapes = {i.name: [d if isinstance(d, int) else 1 for d in i.shape] for i in loaded.get_inputs()}
    types = {i.name: _DTYPES[i.type] for i in loaded.get_inputs()}
    return {
        name: (rng.random(shape) * (255 if types[name] is np.uint8 else 1)).astype(types[name])
        for name, shape in shapes.items()
    }


def work(path: Path) -> Work:
    """Of operators that depend on the face: weights are put together when a graph is loaded."""
    model = onnx.load(str(path))
    sizes = _element_sizes(model)
    varying = {i.name for i in model.graph.input}
    for number, node in enumerate(model.graph.node):
        node.name = f"{number}"
        if node.op_type != "Shape" and not varying.isdisjoint(node.input):
            varying.update(node.output)
    multiplications = moved = 0
    for name, (inputs, outputs) in _shapes(model).items():
        node = model.graph.node[int(name)]
        if varying.isdisjoint(node.output) or node.op_type in _FREE:
            continue
        # Absent optional inputs have a name of no characters, and no shape.
        for value, shape in zip([n for n in node.input if n], inputs, strict=True):
            moved += prod(shape) * sizes[value]
        for value, shape in zip(node.output, outputs, strict=True):
            moved += prod(shape) * sizes[value]
        if node.op_type == "Conv":
            multiplications += prod(outputs[0]) * prod(inputs[1][1:])
        elif node.op_type == "MatMul":
            multiplications += prod(outputs[0]) * inputs[0][-1]
    return Work(multiplications, moved)


def _element_sizes(model: onnx.ModelProto) -> dict[str, int]:
    """Bytes of an element of each value, by its type in the file: a CPU widens halves."""
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    types = {v.name: v.type.tensor_type.elem_type for v in (*graph.input, *graph.value_info, *graph.output)}
    types |= {t.name: t.data_type for t in graph.initializer}
    return {
        name: onnx.helper.tensor_dtype_to_np_dtype(element).itemsize
        for name, element in types.items()
        if element
    }


def _shapes(model: onnx.ModelProto) -> dict[str, tuple[list[Shape], list[Shape]]]:
    """By name of the node, the shapes of its inputs and outputs for one face, as onnxruntime noted them in a run."""
    with tempfile.TemporaryDirectory() as folder:
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.add_session_config_entry("session.disable_prepacking", "1")  # packed inputs are not listed
        options.log_severity_level = 3
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        loaded = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        loaded.run(None, one_face(loaded))
        events = json.loads(Path(loaded.end_profiling()).read_text())
    found = {}
    for event in events:
        name = event["name"].removesuffix("_kernel_time")
        if event.get("cat") == "Node" and name != event["name"] and name.isdigit():
            inputs, outputs = (
                [next(iter(one.values())) for one in event["args"][f"{side}_type_shape"]]
                for side in ("input", "output")
            )
            found[name] = inputs, outputs
    return found
