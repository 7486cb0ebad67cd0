"""The numbers of a training run that have nothing to do with a system."""

from dataclasses import dataclass
from math import cos, pi

from refstar_model.layers.precision import Precision


@dataclass(frozen=True)
class LoopParams:
    steps: int = 8000
    learning_rate: float = 1e-3
    warmup: int = 100  # steps
    final_rate: float = 0.02  # share of the learning rate that the cosine ends at
    weight_decay: float = 1e-4
    momentum: float = 0.9  # of the module; its rival has none
    clip: float = 1.0  # gradient norm
    average: float = 0.997  # decay of the averaged weights
    save_minutes: float = 3.0
    save_every: int = 0  # steps; 0: only by the minutes
    line_seconds: float = 5.0
    accumulate: int = 1  # batches whose mean gradient makes one step
    rival_rate: float = 4e-4  # the rival's learning rate; follows the same curve
    judge_every: int = 0  # steps; 0: only at the end
    sheet_every: int = 500  # steps between two sample sheets; 0: none
    #: The schedule follows the minutes that a call is given, and ``steps`` is only a limit.
    by_clock: bool = False
    precision: Precision = Precision.BF16

    def rate(self, warmed: int, progress: float) -> float:
        """The learning rate at a ``progress`` in 0..1, ``warmed`` steps after it began to rise: linear warm-up, then
        cosine."""
        if warmed < self.warmup:
            return self.learning_rate * (warmed + 1) / self.warmup
        cosine = 0.5 + 0.5 * cos(pi * progress)
        return self.learning_rate * (self.final_rate + (1 - self.final_rate) * cosine)
