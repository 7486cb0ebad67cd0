"""int8 graphs beside the fp32 ones of a model folder: static, QDQ, calibrated on degraded faces and their references.

Only convolutions that are worth it are quantized: int8 products are cheap, but before and after them onnxruntime
rounds, scales and transposes, so a small one costs more than it saves, and every one costs accuracy. Weights have a
scale for each output channel, activations one for each tensor.
"""

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)

from refstar_model.export.folder import revise_folder
from refstar_model.export.golden_distance import golden_distance
from refstar_model.export.graph import anonymize, halve_initializers
from refstar_model.export.restorers import FolderModel, fit
from refstar_model.export.session import start_session
from refstar_model.export.views import GATE_STRENGTH

Inputs = dict[str, NDArray[Any]]
Pixels = NDArray[np.uint8]

#: Graphs that run for every face, as far as a folder has them; references are encoded once, and their features are
#: compared: they stay as they are.
GRAPHS = ("restore", "restore_alone")
#: Multiplications from which a convolution is quantized.
WORTH = 16_000_000


def quantize(folder: Path, faces: Iterable[tuple[Pixels, Pixels]], worth: int = WORTH) -> dict[str, Any]:
    """Add int8 graphs of all ``GRAPHS`` to ``folder`` and its ``model.json``, which is returned.

    ``faces`` to calibrate with, of training and not of evaluation: each a degraded one and a reference for it, square
    and uint8. Convolutions with less than ``worth`` multiplications stay. The folder changes only at the end.
    """
    with revise_folder(folder) as (part, manifest):
        samples = list(_make_inputs(part, faces))
        for graph in [name for name in GRAPHS if name in manifest["graphs"]]:
            chosen = _quantize_graph(part, graph, samples, worth)
            manifest["graphs"][f"{graph}_int8"] = {"file": f"{graph}_int8.onnx", "quantized": len(chosen)}
        golden = manifest["golden"]
        apart = golden_distance(FolderModel(part), FolderModel(part, precision="int8"))
        golden["tolerance_int8"] = round(golden["tolerance"] + apart, 1)
    return manifest


def _quantize_graph(folder: Path, graph: str, samples: list[Inputs], worth: int) -> list[str]:
    """Write the int8 graph of a graph; returns the names of its convolutions that are quantized now."""
    target = folder / f"{graph}_int8.onnx"
    with tempfile.TemporaryDirectory() as work:
        whole = _fold_constants(folder / f"{graph}.onnx", Path(work) / "folded.onnx")
        chosen = _choose_convolutions(whole, samples[0], worth)
        quantize_static(
            str(whole),
            str(target),
            _Reader(samples, whole),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],
            nodes_to_quantize=chosen,
            per_channel=True,
            # 7 bits: sums of products with 8 overflow on processors without VNNI.
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
        )
    model = onnx.load(str(target))
    halve_initializers(model)
    anonymize(model)
    target.write_bytes(model.SerializeToString(deterministic=True))
    return chosen


def _make_inputs(folder: Path, faces: Iterable[tuple[Pixels, Pixels]]) -> Iterator[Inputs]:
    """Inputs of the restoring graphs; where there are references, one in four is absent."""
    model = FolderModel(folder)
    for number, (low_quality, reference) in enumerate(faces):
        inputs: Inputs = {
            "low_quality": fit(low_quality, model.size)[None],
            "fidelity": np.full(1, 0.5, np.float32),
            GATE_STRENGTH: np.ones(1, np.float32),
        }
        if model.takes_references:
            features = model.encode_reference(fit(reference, model.size))
            inputs |= {name: value[None] for name, value in features.items()}
            inputs["reference_weight"] = np.full((1, 1), number % 4 != 3, np.float32)
        yield inputs


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, samples: list[Inputs], graph: Path) -> None:
        wanted = [i.name for i in onnx.load(str(graph), load_external_data=False).graph.input]
        self._left = iter([{name: sample[name] for name in wanted} for sample in samples])

    def get_next(self) -> Inputs | None:
        return next(self._left, None)


def _fold_constants(graph: Path, target: Path) -> Path:
    """The graph with everything computed that does not depend on its inputs, weights as fp32."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(target)
    onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    model = onnx.load(str(target), load_external_data=False)
    onnx.external_data_helper.load_external_data_for_model(model, str(graph.parent))
    onnx.save(model, str(target))
    return target


def _choose_convolutions(graph: Path, sample: Mapping[str, NDArray[Any]], worth: int) -> list[str]:
    """Names of the dense convolutions with at least ``worth`` multiplications for one face."""
    model = onnx.load(str(graph))
    weights = {t.name: tuple(t.dims) for t in model.graph.initializer}
    convolutions = [n for n in model.graph.node if n.op_type == "Conv" and n.input[1] in weights]
    known = {output.name for output in model.graph.output}
    for node in convolutions:
        if node.output[0] not in known:
            model.graph.output.append(onnx.ValueInfoProto(name=node.output[0]))
    session = start_session(model.SerializeToString())
    wanted = {i.name: sample[i.name] for i in session.get_inputs()}
    sizes = {
        node.output[0]: value.size
        for node, value in zip(
            convolutions, session.run([n.output[0] for n in convolutions], wanted), strict=True
        )
    }
    return [
        node.name
        for node in convolutions
        if weights[node.input[1]][1] > 1
        and sizes[node.output[0]] * int(np.prod(weights[node.input[1]][1:])) >= worth
    ]
