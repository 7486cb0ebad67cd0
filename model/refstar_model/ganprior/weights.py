"""System 3's weights: what a run begins with, and what it left.

A file holds ``params`` (plain values), ``step`` and ``weights`` (a state_dict).
"""

from pathlib import Path

import torch
from torch import Tensor

from refstar_model.export.reading import load_folder
from refstar_model.ganprior.export_view import view_network
from refstar_model.ganprior.generator_weights import read_generator
from refstar_model.ganprior.network import GanPrior
from refstar_model.ganprior.params import GanPriorParams

#: What only training needs: by their names, the generator's mapping, colors and noise.
UNEXPORTED = (
    "generator.mapping.",
    "generator.colors.",
    "generator.finest_colors.",
    ".noise_strength",
)

#: Beginnings of the names of weights in graphs of RefSTAR, whose self stream this is (`export.borrowing`), and here.
AS_SELF_STREAM = {"net.backbone.": "net.net."}


def find_first_weights(
    module: GanPrior, start: Path | None, prior: Path | None, whole: GanPriorParams | None = None
) -> dict[str, Tensor] | None:
    """What a new run begins with: another run's weights or a model folder, or a pre-trained generator and a new codec.

    ``whole``: of an ablation, the network that ``start`` is of; what the module has in another shape begins anew. None
    for a new network. Raises ValueError where both are asked for, or a file is of another network.
    """
    if start and prior:
        raise ValueError(f"{start} has a prior already: begin from it, or from {prior}, not from both")
    if start and whole is not None:
        own = module.state_dict()
        old = read_weights(start, whole)
        return own | {k: v for k, v in old.items() if k in own and v.shape == own[k].shape}
    if start:
        return read_weights(start, module.params)
    if prior:
        weights = {f"generator.{k}": v for k, v in read_generator(prior, module.params).items()}
        return module.state_dict() | weights
    return None


def read_weights(path: Path, params: GanPriorParams) -> dict[str, Tensor]:
    """The weights of a ``weights.pt`` or a model folder; raises ValueError where they are of another network."""
    if path.is_dir():
        module = GanPrior(params)
        load_folder(view_network(module), path, UNEXPORTED, AS_SELF_STREAM)
        return module.state_dict()
    state = torch.load(path, weights_only=True, map_location="cpu")
    if "prior_widths" not in state["params"] or GanPriorParams.from_dict(state["params"]) != params:
        raise ValueError(f"{path} holds another network: {state['params']}")
    weights: dict[str, Tensor] = state["weights"]
    return weights


def load(path: Path) -> tuple[GanPrior, int]:
    """The net of a ``weights.pt`` in evaluation mode, and how many steps it was trained for."""
    state = torch.load(path, weights_only=True, map_location="cpu")
    module = GanPrior(GanPriorParams.from_dict(state["params"]))
    module.load_state_dict(state["weights"])
    return module.eval(), int(state["step"])
