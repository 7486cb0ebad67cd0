"""One file of weights for all graphs of a folder (ONNX external data): what several graphs use is stored once."""

from collections.abc import Sequence
from pathlib import Path

import onnx
from onnx import TensorProto, external_data_helper

#: Smaller tensors stay in the graph, bytes: shapes and axes must be there when a graph is read.
LEAST = 256
#: Places in the file are multiples of this, bytes.
ALIGNMENT = 64


def share_weights(graphs: Sequence[Path], target: Path) -> None:
    """Move the large initializers of ``graphs`` into ``target``, a file beside them; equal ones share their place.

    What the graphs have in ``target`` already moves with the rest.
    """
    places: dict[bytes, int] = {}
    models = [onnx.load(str(path)) for path in graphs]
    with target.open("wb") as file:
        for path, model in zip(graphs, models, strict=True):
            for tensor in model.graph.initializer:
                data = tensor.raw_data
                if len(data) < LEAST:
                    continue
                if data not in places:
                    places[data] = -(-file.tell() // ALIGNMENT) * ALIGNMENT
                    file.seek(places[data])
                    file.write(data)
                external_data_helper.set_external_data(tensor, target.name, places[data], len(data))
                tensor.ClearField("raw_data")
                tensor.data_location = TensorProto.EXTERNAL
            path.write_bytes(model.SerializeToString(deterministic=True))
