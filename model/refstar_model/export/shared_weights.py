"""One file of weights for all graphs of a folder (ONNX external data): what several graphs use is stored once."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, external_data_helper

#: Smaller tensors stay in the graph, bytes: shapes and axes must be there when a graph is read.
LEAST = 256
#: Unsigned integers of the same size, for types in which -0.0 equals 0.0 in all but its bytes.
_INTEGERS: dict[int, type[np.unsignedinteger[Any]]] = {
    TensorProto.FLOAT: np.uint32,
    TensorProto.FLOAT16: np.uint16,
}
#: Places in the file are multiples of this, bytes.
ALIGNMENT = 64


def share_weights(graphs: Sequence[Path], target: Path, hosts: Sequence[Path] = ()) -> None:
    """Move the large initializers of ``graphs`` into ``target``, a file beside them; equal ones share their place.

    What the graphs have in ``target`` already moves with the rest. What the graphs ``hosts`` have in files of their own
    is used where it lies, and not stored again; those files must come to lie beside ``target``.
    """
    places = dict(_find_places(hosts))
    models = [onnx.load(str(path)) for path in graphs]
    with target.open("wb") as file:
        for path, model in zip(graphs, models, strict=True):
            for tensor in model.graph.initializer:
                data = tensor.raw_data
                if len(data) < LEAST:
                    continue
                known = _without_sign(data, tensor.data_type)
                if known not in places:
                    places[known] = target.name, -(-file.tell() // ALIGNMENT) * ALIGNMENT
                    file.seek(places[known][1])
                    file.write(data)
                external_data_helper.set_external_data(tensor, *places[known], len(data))
                tensor.ClearField("raw_data")
                tensor.data_location = TensorProto.EXTERNAL
            path.write_bytes(model.SerializeToString(deterministic=True))


def _find_places(graphs: Sequence[Path]) -> Iterator[tuple[bytes, tuple[str, int]]]:
    """What the graphs have in files beside them, with the file's name and where in it."""
    for path in graphs:
        for tensor in onnx.load(str(path), load_external_data=False).graph.initializer:
            if tensor.data_location == TensorProto.EXTERNAL:
                place = external_data_helper.ExternalDataInfo(tensor)
                with (path.parent / place.location).open("rb") as file:
                    file.seek(place.offset or 0)
                    data = file.read(place.length)
                yield _without_sign(data, tensor.data_type), (place.location, place.offset or 0)


def _without_sign(data: bytes, data_type: int) -> bytes:
    """The bytes of a tensor, its zeros without a sign: averages of weights that are not trained have lost it."""
    if data_type not in _INTEGERS:
        return data
    numbers = np.frombuffer(data, _INTEGERS[data_type])
    minus_zero = 1 << 8 * numbers.itemsize - 1
    return np.where(numbers == minus_zero, 0, numbers).astype(numbers.dtype).tobytes()
