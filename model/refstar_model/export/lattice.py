"""A lattice that a network prints into every picture, taken out of its graphs (`evaluation.lattice` measures it)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

Tile = NDArray[np.float32]

PERIOD = 16  # pixels


@dataclass(frozen=True, eq=False)
class Lattice:
    """The tile [16, 16, 3] where nothing is taken from a reference, and what is added where all is: gray levels."""

    plain: Tile
    taken: Tile | None  # none without references

    @property
    def height(self) -> float:
        """Peak to trough of the plain tile, mean of the colors."""
        return float(np.ptp(self.plain.mean(-1)))


def subtract_lattice(path: Path, at_zero: Lattice, at_one: Lattice) -> None:
    """Change the graph in ``path``: from its picture, before it is cut to 0..1, it subtracts the lattice between the
    two by ``fidelity``. Its weights stay where they are. Raises ValueError where there is no such place."""
    model = onnx.load(str(path), load_external_data=False)
    graph = model.graph
    clip = _find_clip(graph, path)
    size = next(v for v in graph.output if v.name == "restored").type.tensor_type.shape.dim[1].dim_value
    nodes: list[onnx.NodeProto] = []

    def constant(name: str, values: NDArray[Any]) -> str:
        graph.initializer.append(numpy_helper.from_array(values, f"lattice_{name}"))
        return f"lattice_{name}"

    def node(kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, inputs, [f"lattice_{output}"], **attributes))
        return f"lattice_{output}"

    knob = node("Reshape", ["fidelity", constant("shape", np.array([-1, 1, 1, 1]))], "knob")
    repeats = constant("repeats", np.array([1, 1, size // PERIOD, size // PERIOD], np.int64))

    def lay(name: str, zero: Tile, one: Tile) -> str:
        """The tile of the faces' fidelity, over the whole picture [B, 3, S, S]."""
        first, slope = (np.ascontiguousarray(t.transpose(2, 0, 1)[None] / 255) for t in (zero, one - zero))
        change = node("Mul", [knob, constant(f"{name}_slope", slope)], f"{name}_change")
        tile = node("Add", [change, constant(f"{name}_zero", first)], f"{name}_tile")
        return node("Tile", [tile, repeats], name)

    lattice = lay("plain", at_zero.plain, at_one.plain)
    if at_zero.taken is not None and at_one.taken is not None:
        # The masks as they are given out: [B, R, g, g], 255 is all.
        masks = node("Cast", ["selection"], "masks", to=onnx.TensorProto.FLOAT)
        total = node("ReduceSum", [masks, constant("references", np.array([1]))], "total", keepdims=1)
        most = constant("most", np.array(255, np.float32))
        share = node("Div", [node("Min", [total, most], "limited"), most], "share")
        grid = next(v for v in graph.output if v.name == "selection").type.tensor_type.shape.dim[2].dim_value
        scales = constant("scales", np.array([1, 1, size / grid, size / grid], np.float32))
        nearest = {"mode": "nearest", "nearest_mode": "floor", "coordinate_transformation_mode": "asymmetric"}
        laid = node("Resize", [share, "", scales], "laid", **nearest)
        more = node("Mul", [laid, lay("taken", at_zero.taken, at_one.taken)], "more")
        lattice = node("Add", [lattice, more], "all")
    clip.input[0] = node("Sub", [clip.input[0], lattice], "free")
    # At the end, where the masks are known, and what comes after the picture behind it again.
    place = list(graph.node).index(clip)
    after = [n for n in list(graph.node)[place:] if _leads_to(n, clip, graph)]
    for moved in after:
        graph.node.remove(moved)
    graph.node.extend([*nodes, *after])
    path.write_bytes(model.SerializeToString(deterministic=True))


def _leads_to(node: onnx.NodeProto, clip: onnx.NodeProto, graph: onnx.GraphProto) -> bool:
    """Whether ``node`` is the clip or takes something that was made of its output."""
    made, grown = set(clip.output), True
    if node is clip:
        return True
    while grown:
        before = len(made)
        made |= {o for n in graph.node if made & set(n.input) for o in n.output}
        grown = len(made) > before
    return bool(made & set(node.output))


def _find_clip(graph: onnx.GraphProto, path: Path) -> onnx.NodeProto:
    """The node that cuts the picture to 0..1 on its way to ``restored``: Clip, Mul, Round, Cast, Transpose."""
    made = {output: node for node in graph.node for output in node.output}
    name = "restored"
    passed: list[str] = []
    while name in made and len(passed) < 6:
        node = made[name]
        if node.op_type == "Clip" and passed == ["Transpose", "Cast", "Round", "Mul"]:
            return node
        passed.append(node.op_type)
        name = node.input[0]
    raise ValueError(f"{path.name} does not end as an exported graph: {', '.join(passed)}")
