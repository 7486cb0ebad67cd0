"""What of a run is kept from one slice to the next: ``checkpoint.pt``, or a parcel that travels (parcel.py)."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from refstar_model.training import parcel
from refstar_model.training.moments import give_second_moments, restore_moments, take_second_moments

CHECKPOINT = "checkpoint.pt"


class Standing(NamedTuple):
    """How far a run is."""

    done: int  # steps
    best: float  # score of the best weights so far


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The parts of a run that change as it goes on: saved from where they are, and restored in place."""

    module: nn.Module
    average: dict[str, Tensor]
    optimizer: torch.optim.Optimizer
    rival: nn.Module | None = None
    rival_optimizer: torch.optim.Optimizer | None = None

    def save(self, folder: Path, standing: Standing) -> None:
        state: dict[str, object] = {
            **standing._asdict(),
            "module": self.module.state_dict(),
            "average": self.average,
            "optimizer": self.optimizer.state_dict(),
        }
        if self.rival is not None and self.rival_optimizer is not None:
            state["rival"] = self.rival.state_dict()
            state["rival_optimizer"] = self.rival_optimizer.state_dict()
        write_whole(folder / CHECKPOINT, state)

    def restore(self, folder: Path) -> Standing | None:
        """From the folder's checkpoint, or from its parcel where that is further; None when there is neither.

        A rival that it lacks starts anew. After a parcel the first moments are new.
        """
        path = folder / CHECKPOINT
        state = torch.load(path, weights_only=True, map_location="cpu") if path.is_file() else None
        if (folder / parcel.INDEX).is_file():
            tensors, about = parcel.read_parcel(folder)
            if state is None or about["done"] > state["done"]:
                self._unpack(tensors)
                return Standing(about["done"], float("-inf") if about["best"] is None else about["best"])
        if state is None:
            return None
        self.module.load_state_dict(state["module"])
        for name, value in state["average"].items():
            self.average[name].copy_(value)
        restore_moments(self.optimizer, state["optimizer"])
        if self.rival is not None and self.rival_optimizer is not None and "rival" in state:
            self.rival.load_state_dict(state["rival"])
            restore_moments(self.rival_optimizer, state["rival_optimizer"])
        return Standing(state["done"], state.get("best", float("-inf")))

    def start_from(self, weights: Mapping[str, Tensor]) -> None:
        """Put the module and its average at weights that another run made."""
        self.module.load_state_dict(dict(weights))
        for name, value in self.module.state_dict().items():
            self.average[name].copy_(value)

    def pack(self, folder: Path, standing: Standing) -> None:
        """What can travel, as a parcel."""
        tensors = {f"average/{name}": value for name, value in self.average.items()}
        tensors |= {f"optimizer/{name}": value for name, value in take_second_moments(self.optimizer).items()}
        if self.rival is not None and self.rival_optimizer is not None:
            tensors |= {f"rival/{name}": value for name, value in self.rival.state_dict().items()}
            moments = take_second_moments(self.rival_optimizer)
            tensors |= {f"rival_optimizer/{name}": value for name, value in moments.items()}
        best = standing.best if standing.best > float("-inf") else None
        parcel.write_parcel(tensors, {"done": standing.done, "best": best}, folder)

    def _unpack(self, tensors: Mapping[str, Tensor]) -> None:
        def select(part: str) -> dict[str, Tensor]:
            return {n.removeprefix(f"{part}/"): t for n, t in tensors.items() if n.startswith(f"{part}/")}

        self.start_from(select("average"))
        give_second_moments(self.optimizer, select("optimizer"))
        if self.rival is not None and self.rival_optimizer is not None and (weights := select("rival")):
            self.rival.load_state_dict(weights)
            give_second_moments(self.rival_optimizer, select("rival_optimizer"))


def read_average(folder: Path) -> tuple[dict[str, Tensor], int] | None:
    """The averaged weights of a run's checkpoint and its steps; None where there is none."""
    if not (folder / CHECKPOINT).is_file():
        return None
    state = torch.load(folder / CHECKPOINT, weights_only=True, map_location="cpu")
    return state["average"], int(state["done"])


def write_whole(path: Path, state: Mapping[str, object]) -> None:
    """Write a file of tensors; until it is whole, an older one stays."""
    part = path.with_name(path.name + ".part")
    torch.save(dict(state), part)
    part.replace(path)
