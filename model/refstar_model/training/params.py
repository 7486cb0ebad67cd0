"""The numbers of a training run that have nothing to do with a system."""

from dataclasses import dataclass
from math import cos, pi

from refstar_model.layers.precision import Precision

#: Share of a run after which it is warm at the latest: one of 500 steps was not, where 500 steps were asked for.
_WARMED = 0.1


@dataclass(frozen=True)
class LoopParams:
    steps: int = 8000
    learning_rate: float = 1e-3
    warmup: int = 100  # steps, but no more than a tenth of the run
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

    @property
    def warm_steps(self) -> int:
        """After so many steps the rate falls; by the clock, at the latest after a tenth of the time."""
        return self.warmup if self.by_clock else min(self.warmup, max(1, int(self.steps * _WARMED)))

    def rate(self, warmed: int, progress: float) -> float:
        """The learning rate at a ``progress`` in 0..1, ``warmed`` steps after it began to rise: linear warm-up, then
        cosine."""
        warm = 1.0 if warmed >= self.warm_steps else (warmed + 1) / self.warm_steps
        if self.by_clock:
            warm = max(warm, progress / _WARMED)
        if warm < 1:
            return self.learning_rate * warm
        cosine = 0.5 + 0.5 * cos(pi * progress)
        return self.learning_rate * (self.final_rate + (1 - self.final_rate) * cosine)
