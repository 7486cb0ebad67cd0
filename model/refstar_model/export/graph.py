"""torch to a model folder: ONNX graphs, run in onnxruntime, compared, described in ``model.json``.

Nothing is written when a graph differs from torch by more than ``PARITY`` on float outputs before rounding.
"""

import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from refstar_model.export.folder import complete_manifest, prepare_folder
from refstar_model.export.session import start_session

PARITY = 1e-3
OPSET = 20


class ParityError(RuntimeError):
    """A graph does not compute what the network computes."""


@dataclass(frozen=True)
class Graph:
    """One graph to export. The first dimension of every input is the batch; ``reference_inputs`` also have R second.

    ``view_input`` names an input [1, H, W, 3] whose sides are any multiples of 16 instead. ``check_only`` names outputs
    that are compared and then taken off the written graph.
    """

    name: str
    module: nn.Module
    inputs: dict[str, Tensor]
    outputs: tuple[str, ...]
    reference_inputs: tuple[str, ...] = ()
    view_input: str = ""
    check_only: tuple[str, ...] = ()


def round_weights(module: nn.Module) -> None:
    """Round all weights to fp16 values in place, so that fp16 initializers lose nothing against the module."""
    with torch.no_grad():
        for value in module.parameters():
            value.copy_(value.half().float())


def export_graph(graph: Graph, path: Path) -> float:
    """Write one graph to ``path``; returns the largest difference of a float output (0..1 scale) from torch."""
    batch, count = torch.export.Dim("batch", min=1, max=64), torch.export.Dim("references", min=1, max=8)
    rows, columns = torch.export.Dim("rows", min=2, max=512), torch.export.Dim("columns", min=2, max=512)
    shapes = {n: ({0: batch, 1: count} if n in graph.reference_inputs else {0: batch}) for n in graph.inputs}
    if graph.view_input:
        shapes[graph.view_input] = {1: 16 * rows, 2: 16 * columns}
    graph.module.eval()
    with warnings.catch_warnings():
        # The exporter's own deprecations and its notes on absent torchvision are no news to the user.
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            graph.module,
            tuple(graph.inputs.values()),
            dynamo=True,
            opset_version=OPSET,
            dynamic_shapes=tuple(shapes.values()),
            input_names=list(graph.inputs),
            output_names=list(graph.outputs),
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    name_constants(model, graph.module)
    halve_initializers(model)
    with tempfile.TemporaryDirectory() as folder:
        checked = Path(folder) / "checked.onnx"
        onnx.save(model, str(checked))
        worst = _compare(graph, checked)
    for name in graph.check_only:
        model.graph.output.remove(next(o for o in model.graph.output if o.name == name))
    anonymize(model)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString(deterministic=True))
    return worst


def _compare(graph: Graph, path: Path) -> float:
    session = start_session(str(path))
    worst = 0.0
    for size in (1, next(iter(graph.inputs.values())).shape[0]):
        inputs = {name: value[:size] for name, value in graph.inputs.items()}
        with torch.no_grad():
            wanted = graph.module(*inputs.values())
        got = session.run(list(graph.outputs), {name: value.numpy() for name, value in inputs.items()})
        for name, a, b in zip(graph.outputs, wanted, got, strict=True):
            difference = float(np.abs(a.numpy().astype(np.float64) - b.astype(np.float64)).max())
            if a.dtype.is_floating_point:
                worst = max(worst, difference)
                if not difference <= PARITY:
                    raise ParityError(
                        f"{graph.name}: output {name} differs by {difference:.2e}, allowed {PARITY:.0e}"
                    )
            elif a.dtype == torch.uint8 and difference > 1:
                raise ParityError(
                    f"{graph.name}: output {name} differs by {difference:.0f} of 255 levels, allowed 1"
                )
            elif a.dtype == torch.bool and difference:
                raise ParityError(f"{graph.name}: output {name} differs")
    return worst


def name_constants(model: Any, module: nn.Module) -> None:
    """Give constants that are a weight in another shape the weight's name, so that it can be read back."""
    named = {one.name for one in model.graph.initializer}
    weights = {
        value.detach().numpy().astype(np.float32).tobytes(): name
        for name, value in module.named_parameters()
        if name not in named and value.numel() > 1
    }
    renamed = {}
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            name = weights.pop(numpy_helper.to_array(tensor).tobytes(), None)
            if name is not None:
                renamed[tensor.name] = tensor.name = name
    for node in model.graph.node:
        for index, given in enumerate(node.input):
            node.input[index] = renamed.get(given, given)


def halve_initializers(model: Any) -> None:
    """Store large fp32 weights as fp16 with a Cast behind them, which onnxruntime folds away at load."""
    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < 256:
            continue
        values = numpy_helper.to_array(tensor)
        halved = values.astype(np.float16)
        if not np.array_equal(halved.astype(np.float32), values):
            continue  # a constant that fp16 cannot hold exactly
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(halved, name + "_fp16"))
        casts.append(helper.make_node("Cast", [name + "_fp16"], [name], to=TensorProto.FLOAT))
    for cast in reversed(casts):
        model.graph.node.insert(0, cast)


def anonymize(model: Any) -> None:
    """Drop what the exporter notes of this machine (stack traces with paths), of itself and of types."""
    for node in model.graph.node:
        node.ClearField("doc_string")
        del node.metadata_props[:]
    del model.graph.value_info[:]  # a quarter of a graph's bytes, and inferred again when it is loaded
    for value in [*model.graph.input, *model.graph.output]:
        del value.metadata_props[:]
    for function in model.functions:
        del function.metadata_props[:]
    del model.metadata_props[:]
    del model.graph.metadata_props[:]


def write_folder(folder: Path, graphs: list[Graph], description: dict[str, Any]) -> dict[str, Any]:
    """Export all graphs into ``folder`` with their ``model.json``; the folder changes only if all of them pass.

    ``description`` is the manifest without its ``graphs``.
    """
    with prepare_folder(folder) as part:
        entries = {
            g.name: {"file": f"{g.name}.onnx", "parity": export_graph(g, part / f"{g.name}.onnx")}
            for g in graphs
        }
        manifest = {**description, "graphs": entries}
        complete_manifest(part, manifest)
    return manifest
