"""ENTED's files of weights: a whole network, a dictionary, and what may be taken over from other systems' files.

A file holds ``params`` (plain values), ``step`` and ``weights`` (a state_dict).
"""

from pathlib import Path

import torch
from torch import Tensor

from refstar_model.data.photos import DataError
from refstar_model.ented.dictionary import DictionaryAutoencoder
from refstar_model.ented.export_view import view_network
from refstar_model.ented.network import Ented
from refstar_model.ented.params import EntedParams
from refstar_model.export.manifest import find_graph
from refstar_model.export.reading import load_folder, read_initializers
from refstar_model.ganprior.weights import UNEXPORTED
from refstar_model.ganprior.weights import read_weights as read_prior_weights
from refstar_model.layers.person_gate import PersonGate, complete_gate

#: Of system 3, what no graph has.
_UNEXPORTED = tuple(name if name.startswith(".") else f"backbone.{name}" for name in UNEXPORTED)


def load(path: Path) -> tuple[Ented, int]:
    """The network of a ``weights.pt`` in evaluation mode, and how many steps it was trained for."""
    state = torch.load(path, weights_only=True, map_location="cpu")
    module = Ented(EntedParams.from_dict(state["params"]))
    module.load_state_dict(complete_gate(state["weights"]))
    return module.eval(), int(state["step"])


def read_weights(path: Path, params: EntedParams) -> dict[str, Tensor]:
    """The weights of a ``weights.pt`` or a model folder; raises ValueError where they are of another network."""
    if path.is_dir():
        module = Ented(params)
        load_folder(view_network(module), path, _UNEXPORTED)
        return module.state_dict()
    state = torch.load(path, weights_only=True, map_location="cpu")
    if "base" not in state["params"] or EntedParams.from_dict(state["params"]) != params:
        raise ValueError(f"{path} holds another network: {state['params']}")
    return complete_gate(state["weights"])


def load_dictionary(path: Path, params: EntedParams) -> DictionaryAutoencoder:
    """What ``--part dictionary`` left, fixed; raises ValueError where its words do not fit the network."""
    state = torch.load(path, weights_only=True, map_location="cpu")
    if "base" not in state["params"] or "to_picture.weight" not in state["weights"]:
        raise ValueError(f"{path} holds no dictionary: train one with --part dictionary")
    kept = EntedParams.from_dict(state["params"])
    if _fix_dictionary(kept) != _fix_dictionary(params):
        raise ValueError(f"{path} holds a dictionary of another network: {state['params']}")
    module = DictionaryAutoencoder(kept)
    module.load_state_dict(state["weights"])
    return module.eval().requires_grad_(False)


def _fix_dictionary(params: EntedParams) -> tuple[object, ...]:
    """The values that fix the shapes of the dictionary and of its autoencoder."""
    base = params.base
    sizes = params.reference_widths, params.reference_blocks, params.codes, params.code_channels
    return base.size, base.unshuffle, *sizes


def begin(
    module: Ented, dictionary: DictionaryAutoencoder | None, backbone: Path | None, gate: Path | None
) -> dict[str, Tensor]:
    """The weights that a new run begins with: system 3, RefSTAR's person gate, the dictionary's words and its encoder,
    which knows good photographs, as that of references.

    ``backbone`` and ``gate``: weights.pt or model folder of system 3 and of RefSTAR. Raises ValueError where one is of
    another network.
    """
    weights = dict(module.state_dict())
    if dictionary is not None:
        encoder = dictionary.encoder.state_dict()
        weights |= {f"references.encoder.{name}": value.clone() for name, value in encoder.items()}
    if dictionary is not None and module.params.dictionary:
        weights["dictionary.words.codes"] = dictionary.words.codes.detach().clone()
    if backbone is not None:
        theirs = read_prior_weights(backbone, module.params.base)
        weights |= {f"backbone.{name}": value for name, value in theirs.items()}
    if gate is not None:
        weights |= {f"gate.{name}": value for name, value in _read_gate(gate, module.gate).items()}
    return weights


#: Where a graph of RefSTAR with a gate has it.
_GATE = "net.gate."


def _read_gate(path: Path, gate: PersonGate) -> dict[str, Tensor]:
    """The person gate of a RefSTAR, a ``weights.pt`` or a model folder, as weights of ``gate``."""
    found: dict[str, Tensor]
    if path.is_dir():
        graph = find_graph(path, "restore")
        values = {} if graph is None else read_initializers(graph)
        inside = {k.removeprefix(_GATE): value for k, value in values.items() if k.startswith(_GATE)}
        try:
            found = gate.unfold(inside)
        except (ValueError, KeyError) as error:
            raise DataError(f"{path} has the person gate of another network: {error}") from None
    else:
        state = torch.load(path, weights_only=True, map_location="cpu")
        theirs = {k: value for k, value in state["weights"].items() if k.startswith("gate.")}
        found = {name.removeprefix("gate."): value for name, value in theirs.items()}
    found = complete_gate(found, "")
    wanted = {name: value.shape for name, value in gate.state_dict().items()}
    if {name: value.shape for name, value in found.items()} != wanted:
        raise DataError(f"{path} has no person gate that fits: name a RefSTAR that has one of the same size")
    return found
