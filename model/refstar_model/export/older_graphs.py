"""Weights in graphs of RefSTAR up to 0.3.3, where what was folded has no names: they are found by what uses them."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import helper
from torch import Tensor, nn

from refstar_model.export.session import start_session
from refstar_model.layers.person_gate import WEIGHED

_HALF = "_fp16"
#: Of a folded block, in the order of its convolutions; the named one is at `_NAMED`.
_OF_BLOCK = (
    *("expand_left", "depthwise_left", "expand_right", "depthwise_right", "attend", "project"),
    *("widen_left", "widen_right", "narrow"),
)
_NAMED = _OF_BLOCK.index("attend")
_ATTEND = ".attend.weight"
#: The person gate's three numbers.
_GATE, _OF_GATE = "net.gate.", ("getitem", "getitem_1", "getitem_2")


def is_older(names: Iterable[str]) -> bool:
    """Whether constants of these names are of such a graph."""
    return any(name.endswith(_ATTEND) for name in names)


def find_older_weights(path: Path, module: nn.Module) -> dict[str, Tensor]:
    """What the names of a graph do not tell, by the names of ``module`` when it is folded (`layers.folding`)."""
    model = onnx.load(str(path))
    convs = [node for node in model.graph.node if node.op_type == "Conv"]
    slopes = [node.input[1] for node in model.graph.node if node.op_type == "PRelu"]
    constants = {one.name for one in model.graph.initializer}
    weights = [conv for conv in convs if len(conv.input) > 2]  # those without a bias are means
    of_gate = [name for name in _OF_GATE if name in constants] if "restore" in path.stem else []
    wanted = [name for conv in weights for name in conv.input[1:]] + slopes + of_gate
    values = evaluate_constants(model, wanted)
    found: dict[str, Tensor] = {}
    for at, conv in enumerate(weights):
        kernel, bias = (name.removesuffix(_HALF) for name in conv.input[1:])
        if bias.endswith(".bias"):  # a look's kernel was widened
            found[bias.removesuffix(".bias") + ".weight"] = values[conv.input[1]]
        if kernel.endswith(_ATTEND):
            block = kernel.removesuffix("attend.weight")
            for name, part in zip(_OF_BLOCK, weights[at - _NAMED :], strict=False):
                found |= {block + name: values[part.input[1]], f"{block}{name}_bias": values[part.input[2]]}
    named = [name for name, part in module.named_modules() if isinstance(part, nn.PReLU)]
    if len(named) == len(slopes):
        found |= {f"{name}.weight": values[slope] for name, slope in zip(named, slopes, strict=True)}
    if len(of_gate) == len(WEIGHED):
        found |= {_GATE + name: values[of] for name, of in zip(WEIGHED, of_gate, strict=True)}
    return found


def evaluate_constants(model: Any, names: Sequence[str]) -> dict[str, Tensor]:
    """Values of a graph that depend on no input, in fp32."""
    makers = {output: node for node in model.graph.node for output in node.output}
    constants = {one.name for one in model.graph.initializer}
    needed, used, asked = set[int](), set[str](), list(names)
    while asked:
        name = asked.pop()
        if name in constants:
            used.add(name)
        elif name and id(makers[name]) not in needed:
            needed.add(id(makers[name]))
            asked += makers[name].input
    made = [name for name in dict.fromkeys(names) if name not in constants]
    held = {one.name: one for one in model.graph.initializer if one.name in used}
    values = {name: onnx.numpy_helper.to_array(held[name]) for name in names if name in held}
    if made:
        graph = helper.make_graph(
            [node for node in model.graph.node if id(node) in needed],
            "constants",
            [],
            [onnx.ValueInfoProto(name=name) for name in made],
            list(held.values()),
        )
        alone = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
        values |= dict(zip(made, start_session(alone.SerializeToString()).run(made, {}), strict=True))
    return {name: torch.from_numpy(np.asarray(value).astype(np.float32)) for name, value in values.items()}
