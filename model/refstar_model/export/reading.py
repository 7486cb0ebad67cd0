"""A model folder back to weights that can be trained on: what a shipped model is fine-tuned from."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor

from refstar_model.data.photos import DataError
from refstar_model.export.manifest import find_graph
from refstar_model.export.views import RestoringViews
from refstar_model.layers.folding import unfold_weights

#: What the names of weights end with where a graph holds them in fp16.
_HALF = "_fp16"
#: The two weights of a layer.
_WEIGHT, _BIAS = ".weight", ".bias"


def load_folder(
    views: RestoringViews,
    folder: Path,
    unexported: tuple[str, ...] = (),
    renamed: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Give the networks of ``views`` the weights of a model folder that was exported from such networks.

    ``unexported`` are beginnings or ends of the names of weights that no graph has; these stay as they are. ``renamed``
    maps beginnings of names in the graphs to those in the networks. Raises ValueError where other weights are missing,
    or one has another shape.
    """
    loaded = set[int]()
    for name, view in views.by_name.items():
        path = find_graph(folder, name)
        if path is None:
            raise DataError(f"{folder} is of another network: it has no graph {name}")
        try:
            values = {_rename(weight, renamed): value for weight, value in read_initializers(path).items()}
            found = unfold_weights(view.module, values)
        except (ValueError, KeyError) as error:
            raise DataError(f"{folder} is of another network: {error}") from None
        view.module.load_state_dict(found, strict=False)
        loaded |= {id(value) for name, value in view.module.named_parameters() if name in found}
    lacking = sorted(
        name.rsplit("net.", 1)[-1]
        for name, value in views.module.named_parameters()
        if id(value) not in loaded
    )
    lacking = [name for name in lacking if not name.startswith(unexported) and not name.endswith(unexported)]
    if lacking:
        raise DataError(
            f"{folder} lacks the weights {lacking[0]} ({len(lacking)} in all lack): it is of another network, or was "
            "exported by a version whose folders cannot be read"
        )


def _rename(name: str, renamed: Mapping[str, str]) -> str:
    return next((new + name.removeprefix(old) for old, new in renamed.items() if name.startswith(old)), name)


def read_initializers(path: Path) -> dict[str, Tensor]:
    """The constants of a graph by name, in fp32; one that stands for several weights has the names of all."""
    model = onnx.load(str(path))
    values = {
        one.name.removesuffix(_HALF): torch.from_numpy(numpy_helper.to_array(one).astype(np.float32))
        for one in model.graph.initializer
        if one.data_type in (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16)
    }
    return _find_merged(model, values) | values


def _find_merged(model: Any, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights and biases that the exporter merged with equal ones: the other input of their node tells whose they are.

    Biases of layers whose results are added have equal gradients, so they are equal after any training.
    """
    found = {}
    for node in model.graph.node:
        given = node.input[1:3]
        for kind, mine, other in ((_WEIGHT, *given), (_BIAS, *reversed(given))) if len(given) == 2 else ():
            layer = other.removesuffix(_BIAS if kind == _WEIGHT else _WEIGHT)
            if layer != other and layer + kind != mine and other in values and mine in values:
                found[layer + kind] = values[mine]
    return found
