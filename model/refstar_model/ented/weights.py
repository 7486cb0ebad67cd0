"""ENTED's files of weights: a whole network, a dictionary, and what may be taken over from other systems' files.

A file holds ``params`` (plain values), ``step`` and ``weights`` (a state_dict).
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from refstar_model.ented.dictionary import DictionaryAutoencoder
from refstar_model.ented.network import Ented
from refstar_model.ented.params import EntedParams

#: Of system 3, what has the same function and shape here.
_OF_BACKBONE = ("encoder.", "attention.", "finest.", "renderer.fine_bends.")


def load(path: Path) -> tuple[Ented, int]:
    """The network of a ``weights.pt`` in evaluation mode, and how many steps it was trained for."""
    state = torch.load(path, weights_only=True, map_location="cpu")
    module = Ented(EntedParams.from_dict(state["params"]))
    module.load_state_dict(state["weights"])
    return module.eval(), int(state["step"])


def read_weights(path: Path, params: EntedParams) -> dict[str, Tensor]:
    """Of another run; raises ValueError where they are of another network."""
    state = torch.load(path, weights_only=True, map_location="cpu")
    if "base" not in state["params"] or EntedParams.from_dict(state["params"]) != params:
        raise ValueError(f"{path} holds another network: {state['params']}")
    weights: dict[str, Tensor] = state["weights"]
    return weights


def load_dictionary(path: Path, params: EntedParams) -> DictionaryAutoencoder:
    """What ``--part dictionary`` left, fixed; raises ValueError where its words do not fit the network."""
    state = torch.load(path, weights_only=True, map_location="cpu")
    if "base" not in state["params"] or "to_picture.weight" not in state["weights"]:
        raise ValueError(f"{path} holds no dictionary: train one with --part dictionary")
    kept = EntedParams.from_dict(state["params"])
    fixed = ("base", "reference_widths", "codes", "code_channels")
    if any(getattr(kept, name) != getattr(params, name) for name in fixed):
        raise ValueError(f"{path} holds a dictionary of another network: {state['params']}")
    module = DictionaryAutoencoder(kept)
    module.load_state_dict(state["weights"])
    return module.eval().requires_grad_(False)


def begin(
    module: Ented, dictionary: DictionaryAutoencoder | None, backbone: Path | None, gate: Path | None
) -> dict[str, Tensor]:
    """The weights that a new run begins with: the dictionary's words, system 3's encoder, RefSTAR's person gate.

    ``backbone``: weights.pt of system 3; what has another shape here begins anew. ``gate``: weights.pt of RefSTAR.
    Raises ValueError where a file has nothing to take over.
    """
    weights = dict(module.state_dict())
    if dictionary is not None and module.params.dictionary:
        weights["dictionary.words.codes"] = dictionary.words.codes.detach().clone()
    if backbone is not None:
        theirs = {_rename(name): value for name, value in _read(backbone).items()}
        _take_over(weights, theirs, _OF_BACKBONE, backbone)
    if gate is not None:
        _take_over(weights, _read(gate), ("gate.",), gate)
    return weights


def _rename(name: str) -> str:
    """Of system 3's parts, those that lie elsewhere here."""
    moved = {
        "decoder.bottom.": "encoder.coarse.",
        "decoder.attention.": "attention.",
        "fine_bends.": "renderer.fine_bends.",
    }
    for theirs, ours in moved.items():
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    return name


def _take_over(
    weights: dict[str, Tensor], theirs: dict[str, Tensor], parts: tuple[str, ...], path: Path
) -> None:
    fitting = {
        name: value
        for name, value in theirs.items()
        if name.startswith(parts) and name in weights and weights[name].shape == value.shape
    }
    if not fitting:
        raise ValueError(f"{path} has nothing that fits this network")
    weights.update(fitting)


def _read(path: Path) -> dict[str, Tensor]:
    state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
    found: dict[str, Tensor] = state["weights"]
    return found
