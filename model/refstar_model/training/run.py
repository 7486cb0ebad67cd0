"""A training from beginning to end: what a system brings, where it runs, and what is left in the folder."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Generic

import torch
from torch import Tensor, nn

from refstar_model.training import parcel
from refstar_model.training.checkpoint import CHECKPOINT
from refstar_model.training.clock import Clock
from refstar_model.training.loop import B, Loop, Rival, Step, Watch
from refstar_model.training.params import LoopParams
from refstar_model.training.processes import Course, Processes


@dataclass(frozen=True)
class Run:
    """One call: where it leaves its files, and for how long it may go on."""

    folder: Path
    clock: Clock = field(default_factory=Clock)
    device: str | None = None  # cpu or cuda; a GPU where there is one
    start: Path | None = None  # weights.pt of another run to begin from, with a fresh schedule
    travel: Path | None = None  # folder that also gets what can travel of every checkpoint (parcel.py)

    @property
    def weights(self) -> Path:
        """The file of the averaged weights at the end."""
        return self.folder / "weights.pt"

    @property
    def begun(self) -> bool:
        """Whether an earlier slice left a checkpoint or a parcel, from which this one goes on."""
        return any((self.folder / name).is_file() for name in (CHECKPOINT, parcel.INDEX))

    @property
    def previous(self) -> Path | None:
        """The weights of an earlier slice, where this one goes on from its checkpoint."""
        return self.weights if (self.folder / CHECKPOINT).is_file() and self.weights.is_file() else None

    def below(self, name: str, share: float = 1.0) -> "Run":
        """Of one part of a system that has several, each in a folder of its own, with a share of the time left."""
        travel = self.travel / name if self.travel is not None else None
        return replace(self, folder=self.folder / name, clock=self.clock.part(share), travel=travel)


@dataclass(frozen=True, eq=False)
class Task(Generic[B]):
    """A network and how it is taught. Module and rival may be anywhere; batches come on the device of the run.

    ``about`` (plain values) is written beside the weights, so that they can be read without this code's defaults;
    ``shares`` of the learning rate by the beginning of parameters' names; ``weights`` to begin at where the folder
    holds no checkpoint; ``show`` draws the sheets of a run whose watch does not.
    """

    module: nn.Module
    open_batches: Callable[[Course], Iterator[B]]
    step: Step[B]
    about: Mapping[str, object] = field(default_factory=dict)
    rival: Rival | None = None
    shares: Mapping[str, float] = field(default_factory=dict)
    weights: Mapping[str, Tensor] | None = None
    show: Callable[[nn.Module], Tensor] | None = None


def train_network(
    build: Callable[[torch.device], Task[B]],
    params: LoopParams,
    run: Run,
    seed: int = 0,
    watch: Watch | None = None,
) -> Loop:
    """Train what ``build`` makes, from where the run's folder is; returns the loop, to write its averaged weights.

    ``build`` gets the device of the run, and draws its weights from ``seed``.
    """
    watch = watch or Watch()
    with Processes(run.device) as processes:
        torch.manual_seed(seed)
        task = build(processes.device)
        loop = Loop(
            task.module, params, run.folder, task.rival, task.about, processes, run.travel, task.shares
        )
        loop.begin(seed, task.weights)
        batches = task.open_batches(loop.course(run.clock)) if loop.done < params.steps else iter(())
        loop.run(batches, task.step, run.clock, Watch(watch.judge, watch.show or task.show))
        return loop
