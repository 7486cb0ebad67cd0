"""What a system is to the commands, and which systems there are.

A new one is a folder with a module ``system`` that defines ``SYSTEM``, and one line in ``SYSTEMS``. That module is
imported when the system is named on the command line, so what is large in it belongs inside its functions.
"""

import argparse
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor

    from refstar_model.data.photos import PhotoSet
    from refstar_model.export.card import Publication
    from refstar_model.export.restorers import GraphModel

#: Where the module ``system`` of each is.
SYSTEMS = {
    "refstar": "refstar_model.refstar.system",
    "ganprior": "refstar_model.ganprior.system",
    "ented": "refstar_model.ented.system",
    "detector": "refstar_model.detector.system",
}


class TrainedSystem(Protocol):
    """Networks that have been trained, as they leave training."""

    def export(self, folder: Path, model: "Publication", photos: "PhotoSet | None" = None) -> dict[str, Any]:
        """Write the model folder as ``model`` calls it, parity checked with faces of ``photos`` where given; returns
        the manifest.

        Raises ParityError, and leaves ``folder`` as it was.
        """
        ...

    def open_restorer(self) -> "GraphModel | None":
        """The networks as evaluation calls them; None for a system that restores no faces."""
        ...


class System(Protocol):
    @property
    def title(self) -> str:
        """One line of help."""
        ...

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """Those of ``train`` beyond what every run has (options.run)."""
        ...

    def train(self, arguments: argparse.Namespace) -> Path:
        """Train as the options say; returns the path of the weights."""
        ...

    def load(self, weights: Path) -> TrainedSystem:
        """What a training left in ``weights.pt``."""
        ...


@runtime_checkable
class Generative(Protocol):
    """What a system offers besides, where it can draw people who do not exist."""

    def draw_people(
        self, weights: Path, count: int, views: int, seed: int, truncation: float
    ) -> "tuple[Tensor, int]":
        """A sheet [3, h, w] in 0..1 of ``count`` people in ``views`` views each, and the steps of the training."""
        ...


def find_system(name: str) -> System:
    """One of ``SYSTEMS``."""
    system: System = import_module(SYSTEMS[name]).SYSTEM
    return system
