"""Weights that a training left, read with a word for those that are not what they should be."""

import pickle
from pathlib import Path

from refstar_model.system import TrainedSystem, find_system


def load_trained(system: str, weights: Path) -> TrainedSystem:
    """What ``weights`` hold of a system; leaves the program where they hold nothing of it."""
    if not weights.is_file():
        raise SystemExit(f"{weights} is not a file; name the weights.pt or best.pt of a training run")
    try:
        return find_system(system).load(weights)
    except (KeyError, TypeError, ValueError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise SystemExit(f"{weights} does not hold weights of {system} ({reason[:200]})") from None
