"""The generator in a file of weights: its own (``--part prior``), or that of a whole system 3."""

from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from refstar_model.ganprior.generator import Generator
from refstar_model.ganprior.params import GanPriorParams

#: What of the params fixes the generator; the rest is the codec's.
OF_GENERATOR = ("size", "unshuffle", "style", "mapping_layers", "prior_widths")


def read_generator(path: Path, params: GanPriorParams) -> dict[str, Tensor]:
    """The generator's weights of its own ``weights.pt``, or of a whole system 3's.

    Raises ValueError where they are of another generator.
    """
    state = torch.load(path, weights_only=True, map_location="cpu")
    kept = GanPriorParams.from_dict(state["params"])
    ours, theirs = ({k: v for k, v in asdict(p).items() if k in OF_GENERATOR} for p in (params, kept))
    if ours != theirs:
        raise ValueError(f"{path} holds another generator: {theirs}, not {ours}")
    return _generator_weights(state["weights"])


def load_generator(path: Path) -> tuple[Generator, int]:
    """The generator of such a file in evaluation mode, and how many steps it was trained for."""
    state = torch.load(path, weights_only=True, map_location="cpu")
    generator = Generator(GanPriorParams.from_dict(state["params"]))
    generator.load_state_dict(_generator_weights(state["weights"]))
    return generator.eval(), int(state["step"])


def _generator_weights(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    inside = {k.removeprefix("generator."): v for k, v in weights.items() if k.startswith("generator.")}
    return inside or weights
