"""A model folder back to weights that can be trained on: what a shipped model is fine-tuned from."""

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor

from refstar_model.data.photos import DataError
from refstar_model.export.older_graphs import find_older_weights, is_older
from refstar_model.export.views import RestoringViews
from refstar_model.layers.folding import unfold_weights

#: What the names of weights end with where a graph holds them in fp16.
_HALF = "_fp16"


def load_folder(views: RestoringViews, folder: Path, unexported: tuple[str, ...] = ()) -> None:
    """Give the networks of ``views`` the weights of a model folder that was exported from such networks.

    ``unexported`` are beginnings or ends of the names of weights that no graph has; these stay as they are. Raises
    ValueError where other weights are missing, or one has another shape.
    """
    loaded = set[int]()
    for name, view in views.by_name.items():
        path = folder / f"{name}.onnx"
        if not path.is_file():
            raise DataError(f"{folder} is of another network: it has no {path.name}")
        try:
            values = read_initializers(path)
            if is_older(values):
                values |= find_older_weights(path, view.module)
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


def read_initializers(path: Path) -> dict[str, Tensor]:
    """The constants of a graph by name, in fp32."""
    constants = onnx.load(str(path)).graph.initializer
    return {
        one.name.removesuffix(_HALF): torch.from_numpy(numpy_helper.to_array(one).astype(np.float32))
        for one in constants
        if one.data_type in (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16)
    }
