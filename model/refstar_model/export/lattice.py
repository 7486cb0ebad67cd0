"""A lattice that a network prints into every picture, taken out of its graphs (`evaluation.lattice` measures it)."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

Tile = NDArray[np.float32]

PERIOD = 16  # pixels
#: By how many times the tile may be subtracted: the network prints it more strongly at a low fidelity.
MOST = 2.0


def subtract_lattice(path: Path, tile: Tile) -> None:
    """Change the graph in ``path``: from its picture, before it is cut to 0..1, it subtracts the ``tile`` [16, 16, 3],
    gray levels, wherever and as strongly as the picture has it.

    With x the detail of a cell of 16 x 16 pixels (the cell less its mean), the strength there is <x, t> / <t, t>, mean
    of 3 x 3 cells, between 0 and 2, and linear from cell to cell. A network prints its lattice on skin, less where
    detail is taken from a reference, and hardly on a background; a constant one would be printed there by being
    subtracted. The graph's weights stay where they are. Raises ValueError for a graph that does not end as the exported
    ones do.
    """
    model = onnx.load(str(path), load_external_data=False)
    graph = model.graph
    clip = _find_clip(graph, path)
    size = next(v for v in graph.output if v.name == "restored").type.tensor_type.shape.dim[1].dim_value
    cells = size // PERIOD
    nodes: list[onnx.NodeProto] = []

    def constant(name: str, values: NDArray[Any]) -> str:
        graph.initializer.append(numpy_helper.from_array(values, f"lattice_{name}"))
        return f"lattice_{name}"

    def node(kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, inputs, [f"lattice_{output}"], **attributes))
        return f"lattice_{output}"

    # A product with the tile less its means over a cell is one with the cell less its own.
    plane = np.ascontiguousarray(_flatten(tile).transpose(2, 0, 1) / 255, np.float32)
    norm = float((plane**2).sum())
    kernel = constant("kernel", (plane / norm)[None])
    strength = node("Conv", [clip.input[0], kernel], "cells", strides=[PERIOD, PERIOD])
    means = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 0}
    strength = node("AveragePool", [strength], "smooth", **means)
    limits = [constant("least", np.array(0, np.float32)), constant("most", np.array(MOST, np.float32))]
    strength = node("Clip", [strength, *limits], "strength")
    sizes = constant("scales", np.array([1, 1, PERIOD, PERIOD], np.float32))
    wide = node("Resize", [strength, "", sizes], "wide", mode="linear")
    whole = np.tile(np.ascontiguousarray((tile.transpose(2, 0, 1) / 255)[None], np.float32), (1, 1, 1, cells))
    row = constant("row", whole)
    tiled = node("Tile", [row, constant("repeats", np.array([1, 1, cells, 1], np.int64))], "tiled")
    clip.input[0] = node("Sub", [clip.input[0], node("Mul", [wide, tiled], "all")], "free")
    place = list(graph.node).index(clip)
    for offset, one in enumerate(nodes):
        graph.node.insert(place + offset, one)
    path.write_bytes(model.SerializeToString(deterministic=True))


def _flatten(tile: Tile) -> Tile:
    """The tile without mean and slopes, so that even shading has no part in its products."""
    axis = np.linspace(-1, 1, PERIOD)
    ramps = [np.ones((PERIOD, PERIOD)), np.tile(axis, (PERIOD, 1)), np.tile(axis[:, None], (1, PERIOD))]
    flat = tile.astype(np.float64)
    for ramp in ramps:
        flat -= ramp[..., None] * (flat * ramp[..., None]).sum((0, 1)) / (ramp**2).sum()
    return np.asarray(flat, np.float32)


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
