"""Trained weights as files: reading them, and carrying old ones over to new networks.

A file holds ``params`` (plain values), ``step`` and ``weights`` (a state_dict).
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from refstar_model.data.photos import DataError
from refstar_model.export.reading import load_folder
from refstar_model.ganprior.weights import UNEXPORTED
from refstar_model.ganprior.weights import read_weights as read_prior_weights
from refstar_model.layers.person_gate import complete_gate
from refstar_model.refstar.export_view import view_network
from refstar_model.refstar.network import RefStar, RefStarParams
from refstar_model.refstar.params import BASE, SMALL, TINY, BackboneKind, rest_on_prior

#: Names of the parts before backbones could be exchanged, and since.
RENAMED = {
    "stem": "backbone.encoder.stem",
    "encode_fine": "backbone.encoder.fine",
    "to_middle": "backbone.encoder.to_middle",
    "encode_middle": "backbone.encoder.middle",
    "to_coarse": "backbone.encoder.to_coarse",
    "coarse": "backbone.bottom",
    "up_middle": "backbone.decoder.up_middle",
    "decode_middle": "backbone.decoder.middle",
    "up_fine": "backbone.decoder.up_fine",
    "decode_fine": "backbone.decoder.fine",
    "to_picture": "backbone.decoder.to_picture",
    "transfer_coarse": "transfer.coarse",
    "transfer_middle": "transfer.middle",
}

#: Of a backbone that is system 3, what no graph has, and of the gate, what those of 0.4.0 lack; beginnings and ends of
#: names.
_UNEXPORTED = (*UNEXPORTED, *(f"backbone.{name}" for name in UNEXPORTED), "gate.turn")


def load(path: Path) -> tuple[RefStar, int]:
    """The net of a ``weights.pt`` in evaluation mode, and how many steps it was trained for; of a model folder 0.

    Raises DataError where a folder is of none of today's networks.
    """
    state = _read_start(path, _of_today())
    module = RefStar(RefStarParams.from_dict(state["params"]))
    module.load_state_dict(migrate(state["weights"]))
    return module.eval(), int(state["step"])


def migrate(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """A state_dict under today's names, and with the inputs of layers that have got more since, at zero."""
    if "stem.weight" in weights:
        parts = ((name.partition("."), value) for name, value in weights.items())
        weights = {f"{RENAMED.get(part, part)}.{rest}": value for (part, _, rest), value in parts}
    if "gate.own.norm.weight" in weights:
        # The first gate read the backbone's features; the one of today reads pictures, and starts anew.
        weights = {name: value for name, value in weights.items() if not name.startswith("gate.")}
    if "selection.evidence.weight" not in weights:
        hidden, bands = weights["selection.mix.weight"].shape[0], weights["selection.position"].shape[0]
        weights = {**weights, "selection.evidence.weight": torch.zeros(hidden, 2 * bands, 1, 1)}
    return complete_gate(weights)


def find_first_weights(
    params: RefStarParams, start: Path | None, self_stream: Path | None
) -> dict[str, Tensor] | None:
    """What a new run begins with: another run's weights, and system 3 as the backbone. None for a new network.

    With a ``self_stream`` (weights.pt or model folder of system 3) the other parts are those of ``start``, whatever
    backbone it has, as far as they have the same shape. Raises ValueError where something does not fit.
    """
    if self_stream is None:
        return None if start is None else upgrade(_read_own_start(start, params), params)["weights"]
    if params.backbone is not BackboneKind.GAN_PRIOR:
        raise ValueError(f"{self_stream} is system 3, and the backbone is to be {params.backbone}")
    weights = _draw_weights(params)
    if start is not None:
        old = migrate(_read_start(start, (*_with_fewer_parts(params), *_of_today()))["weights"])
        weights |= {
            name: value
            for name, value in old.items()
            if not name.startswith("backbone.") and name in weights and weights[name].shape == value.shape
        }
    backbone = read_prior_weights(self_stream, params.prior)
    return weights | {f"backbone.{name}": value for name, value in backbone.items()}


def load_first_net(start: Path, params: RefStarParams) -> RefStar:
    """The network of a ``weights.pt`` or model folder, around whatever backbone, in evaluation mode.

    Raises ValueError where its heads would not fit ``params``.
    """
    state = _read_start(start, (*_with_fewer_parts(params), *_of_today()))
    net = RefStar(RefStarParams.from_dict(state["params"]))
    for name in ("size", "unshuffle", "widths", "selection_hidden"):
        ours, theirs = getattr(params, name), getattr(net.params, name)
        if ours != theirs:
            raise ValueError(
                f"{start}: {name} is {theirs}, and {ours} in the network that is to learn from it"
            )
    net.load_state_dict(migrate(state["weights"]))
    return net.eval()


def _with_fewer_parts(params: RefStarParams) -> list[RefStarParams]:
    """The network itself, and the same without its reconstruction, which may be new."""
    return [params, replace(params, reconstruction=0)] if params.reconstruction else [params]


def _of_today() -> list[RefStarParams]:
    """All networks that are exported."""
    networks = (net for size in (SMALL, BASE, TINY) for net in (rest_on_prior(size), size))
    return [one for net in networks for one in _with_fewer_parts(net)]


def _read_own_start(start: Path, params: RefStarParams) -> dict[str, Any]:
    """As `_read_start`, where nothing is said of a self stream."""
    try:
        return _read_start(start, _with_fewer_parts(params))
    except DataError as error:
        try:
            _read_start(start, _with_fewer_parts(rest_on_prior(params)))
        except ValueError:  # sizes that no prior has, too
            raise error from None
        raise ValueError(
            f"{start} is a RefSTAR around system 3: name system 3's weights.pt or model folder too (--self-stream)"
        ) from None


def _read_start(start: Path, networks: Sequence[RefStarParams]) -> dict[str, Any]:
    """The content of a ``weights.pt``; of a model folder, which must be of one of the ``networks``, the same.

    A folder does not say of which network it is. Raises DataError with what speaks against the first one.
    """
    if not start.is_dir():
        state: dict[str, Any] = torch.load(start, weights_only=True, map_location="cpu")
        return state
    refused: list[DataError] = []
    for params in networks:
        module = _draw_net(params)
        try:
            load_folder(view_network(module), start, _UNEXPORTED)
        except DataError as error:
            refused.append(error)
        else:
            return {"params": params.to_dict(), "step": 0, "weights": module.state_dict()}
    raise refused[0]


def upgrade(state: dict[str, Any], params: RefStarParams, seed: int = 0) -> dict[str, Any]:
    """The content of a ``weights.pt`` for a network that has more parts; it computes the same.

    Parts that ``state`` does not know start neutral, drawn from ``seed``: the result is the same exactly, but for a new
    person gate, which is open to 0.9975. Raises ValueError when weights would be lost
    or do not fit: sizes and backbone must be those of ``state``.
    """
    old = migrate(state["weights"])
    weights = _draw_weights(params, seed)
    lost = [name for name, value in old.items() if name not in weights or weights[name].shape != value.shape]
    if lost:
        raise ValueError(
            f"these weights have no place in the new network: {', '.join(lost[:5])} ({len(lost)} in all)"
        )
    return {"params": params.to_dict(), "step": state["step"], "weights": {**weights, **old}}


def _draw_weights(params: RefStarParams, seed: int = 0) -> dict[str, Tensor]:
    """Those of a new network."""
    return _draw_net(params, seed).state_dict()


def _draw_net(params: RefStarParams, seed: int = 0) -> RefStar:
    """A new network: the same whatever was drawn before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return RefStar(params)
