"""The one training loop, and what it stands on.

A system describes a network and how it is taught (`Task`); `train_network` does the rest: device, seed, precision,
schedule, several processes, averaged weights, checkpoints, what can travel, the journal.
"""

from refstar_model.training.loop import Loop, Loss, Moment, Rival, Watch, fade
from refstar_model.training.params import LoopParams
from refstar_model.training.run import Run, Task, train_network

__all__ = [
    "Loop",
    "LoopParams",
    "Loss",
    "Moment",
    "Rival",
    "Run",
    "Task",
    "Watch",
    "fade",
    "train_network",
]
