"""fp16 graphs for GPUs, made from the fp32 ones: the same weights, and half the bytes between the layers.

Types flow through a graph as they do in training under autocast. Convolutions compute in fp16; norms (means, squares
and what is computed of them), softmax, sigmoids, powers and sampling places in fp32; everything else in the widest type
of what it is given. So pictures, masks and the blend, which begin as fp32, stay fp32, and only features are halved.
Weights are folded into each other in fp32 when a graph is loaded, and rounded once.
"""

from typing import Any

import numpy as np
import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

FLOAT, HALF = TensorProto.FLOAT, TensorProto.FLOAT16

#: Computed in fp32 whatever they are given.
_SINGLE = frozenset({"Softmax", "Sigmoid", "Tanh", "Pow", "Sqrt", "Reciprocal", "GridSample", "Round"})
#: How many of the first inputs have the type of the output, where others are floats too.
_TYPED = {"Resize": 1}


def halve_types(model: ModelProto) -> ModelProto:
    """A copy of an fp32 graph that computes in fp16 where that is safe; inputs and outputs keep their types.

    Initializers keep their names and bytes, so that both graphs can share them.
    """
    result = ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    types = element_types(model)
    del graph.value_info[:]
    nodes = _Halving(graph, types).convert()
    del graph.node[:]
    graph.node.extend(_keep_needed(nodes, graph))
    used = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    return result


class _Halving:
    """One pass through the nodes in their order."""

    def __init__(self, graph: GraphProto, types: dict[str, int]) -> None:
        self._graph = graph
        #: Element types as they are now.
        self._types = types
        #: What depends on an input by more than its shape.
        self._varying = {i.name for i in graph.input}
        self._producers = {name: node for node in graph.node for name in node.output}
        self._tensors = {tensor.name: tensor for tensor in graph.initializer}
        self._casts: dict[tuple[str, int], str] = {}
        self._nodes: list[NodeProto] = []

    def convert(self) -> list[NodeProto]:
        for node in self._graph.node:
            if node.op_type != "Shape" and not self._varying.isdisjoint(node.input):
                self._varying.update(node.output)
                self._convert(node)
            else:
                self._nodes.append(node)
        for output in self._graph.output:
            if self._types[output.name] == HALF:
                self._widen_output(output.name)
        return self._nodes

    def _convert(self, node: NodeProto) -> None:
        typed = list(node.input)[: _TYPED.get(node.op_type)]
        floats = [name for name in typed if self._types.get(name) in (FLOAT, HALF)]
        if not floats or node.op_type == "Cast":
            self._nodes.append(node)
            return
        wanted = self._choose_type(node, floats)
        for place, name in enumerate(typed):
            if self._types.get(name) in (FLOAT, HALF):
                node.input[place] = self._cast(name, wanted)
        self._nodes.append(node)
        for name in node.output:
            if self._types.get(name) in (FLOAT, HALF):
                self._types[name] = wanted

    def _choose_type(self, node: NodeProto, floats: list[str]) -> int:
        if node.op_type == "Conv":
            return FLOAT if self._is_mean(node) else HALF
        if node.op_type in _SINGLE or (node.op_type == "Mul" and node.input[0] == node.input[1]):
            return FLOAT
        varying = [name for name in floats if name in self._varying]
        decisive = [name for name in varying if not self._takes_type(name)] or varying
        return HALF if all(self._types[name] == HALF for name in decisive) else FLOAT

    def _is_mean(self, node: NodeProto) -> bool:
        """Whether a convolution is the mean over channels (layers.blocks.average_channels)."""
        kernel = self._constant(node.input[1])
        return kernel is not None and kernel.shape[0] == 1 and kernel.size > 1 and np.ptp(kernel) == 0

    def _takes_type(self, name: str) -> bool:
        """Whether this fp32 value (1 / sd of a norm, weights of attention) takes the type of what it multiplies."""
        node = self._producers.get(name)
        return node is not None and node.op_type in ("Reciprocal", "Softmax")

    def _constant(self, name: str) -> Any:
        """An initializer's values, also if it is stored in fp16 with a Cast behind it; None for anything else."""
        node = self._producers.get(name)
        if node is not None and node.op_type == "Cast":
            name = node.input[0]
        return numpy_helper.to_array(self._tensors[name]) if name in self._tensors else None

    def _cast(self, name: str, wanted: int) -> str:
        """A name of this value in the wanted type."""
        if self._types[name] == wanted:
            return name
        producer = self._producers.get(name)
        if (
            producer is not None
            and producer.op_type == "Cast"
            and self._types.get(producer.input[0]) == wanted
            and producer.input[0] in self._tensors
        ):
            return producer.input[0]  # a weight that is stored so
        if (name, wanted) not in self._casts:
            target = f"{name}_{'half' if wanted == HALF else 'single'}"
            self._nodes.append(helper.make_node("Cast", [name], [target], to=wanted))
            self._types[target] = wanted
            self._casts[name, wanted] = target
            if name in self._varying:
                self._varying.add(target)
        return self._casts[name, wanted]

    def _widen_output(self, output: str) -> None:
        """Give an output of the graph its fp32 back."""
        half = f"{output}_half"
        for node in self._nodes:
            for names in (node.input, node.output):
                names[:] = [half if name == output else name for name in names]
        self._nodes.append(helper.make_node("Cast", [half], [output], to=FLOAT))


def element_types(model: ModelProto) -> dict[str, int]:
    """TensorProto's element type of every value of a graph, by its name."""
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    known = {v.name: v.type.tensor_type.elem_type for v in (*graph.input, *graph.value_info, *graph.output)}
    return known | {tensor.name: tensor.data_type for tensor in graph.initializer}


def _keep_needed(nodes: list[NodeProto], graph: GraphProto) -> list[NodeProto]:
    """Without those of which nothing is used any more."""
    used = {output.name for output in graph.output}
    kept = []
    for node in reversed(nodes):
        if not used.isdisjoint(node.output):
            kept.append(node)
            used.update(node.input)
    return kept[::-1]


def emulate_halves(model: ModelProto) -> ModelProto:
    """A graph that computes in fp32 what ``model``, with fp16 in it, computes on a GPU: each half is rounded to one.

    onnxruntime has no fp16 convolution for most CPUs. It widens the whole graph there and leaves out every rounding,
    so running ``model`` itself on a CPU shows nothing of what fp16 costs. Numbers beyond 65,504 do not overflow here.
    """
    result = ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    types = element_types(model)
    del graph.value_info[:]
    wide = {tensor.name: f"{tensor.name}_wide" for tensor in graph.initializer if tensor.data_type == HALF}
    nodes = [helper.make_node("Cast", [name], [target], to=FLOAT) for name, target in wide.items()]
    for node in graph.node:
        node.input[:] = [wide.get(name, name) for name in node.input]
        halves = [name for name in node.output if types.get(name) == HALF]
        if node.op_type == "Cast" and halves:
            nodes += _rounding(node.input[0], halves[0])
            continue
        node.output[:] = [f"{name}_exact" if name in halves else name for name in node.output]
        nodes.append(node)
        for name in halves:
            nodes += _rounding(f"{name}_exact", name)
    del graph.node[:]
    graph.node.extend(nodes)
    graph.initializer.append(numpy_helper.from_array(np.float32(2**13 + 1), _SPLITTER))
    return result


_SPLITTER = "splitter"


def _rounding(exact: str, rounded: str) -> list[NodeProto]:
    """fp32 to the 11 bits of fp16's mantissa (Dekker 1971, splitting): r = c - (c - x), c = (2^13 + 1) x."""
    scaled, rest = f"{rounded}_scaled", f"{rounded}_rest"
    return [
        helper.make_node("Mul", [exact, _SPLITTER], [scaled]),
        helper.make_node("Sub", [scaled, exact], [rest]),
        helper.make_node("Sub", [scaled, rest], [rounded]),
    ]
