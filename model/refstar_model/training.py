"""The one training loop: precision, schedule, averaged weights, checkpoints, resume.

It knows nothing of a system: a system gives it a module, an endless stream of batches and a step that returns the
loss and its parts.
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class LoopParams:
    steps: int = 8000
    learning_rate: float = 1e-3
    warmup: int = 100  # steps
    final_rate: float = 0.02  # share of the learning rate that the cosine ends at
    weight_decay: float = 1e-4
    clip: float = 1.0  # gradient norm
    average: float = 0.997  # decay of the averaged weights
    save_every: int = 200  # steps


Step = Callable[[object, float], tuple[Tensor, dict[str, float]]]


class Loop:
    """Training state of one module, resumable from ``folder/checkpoint.pt``."""

    def __init__(self, module: nn.Module, params: LoopParams, folder: Path) -> None:
        self.module, self.params, self.folder = module, params, folder
        self.done = 0
        self.average = {k: v.detach().clone() for k, v in module.state_dict().items()}
        decayed = [p for p in module.parameters() if p.dim() > 1]
        plain = [p for p in module.parameters() if p.dim() <= 1]
        groups: list[dict[str, Any]] = [{"params": decayed}, {"params": plain, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(
            groups,
            lr=params.learning_rate,
            betas=(0.9, 0.99),
            weight_decay=params.weight_decay,
        )

    def rate(self) -> float:
        """The learning rate of the next step: linear warm-up, then cosine."""
        p = self.params
        if self.done < p.warmup:
            return p.learning_rate * (self.done + 1) / p.warmup
        progress = min(1.0, (self.done - p.warmup) / max(1, p.steps - p.warmup))
        low = p.final_rate
        return p.learning_rate * (
            low + (1 - low) * 0.5 * (1 + float(torch.cos(torch.tensor(progress * torch.pi))))
        )

    def run(self, batches: Iterator[object], step: Step, minutes: float = float("inf")) -> None:
        """Train until all steps are done or the time is over; the state is saved either way.

        ``step`` gets a batch and the progress in 0..1. A step with a loss that is not finite is left out.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self.module.train()
        started, began_at, sums, counted = time.monotonic(), self.done, dict[str, float](), 0
        with (self.folder / "log.jsonl").open("a") as log:
            while self.done < self.params.steps and time.monotonic() - started < 60 * minutes:
                for group in self.optimizer.param_groups:
                    group["lr"] = self.rate()
                loss, parts = step(next(batches), self.done / self.params.steps)
                self.optimizer.zero_grad(set_to_none=True)
                if bool(torch.isfinite(loss)):
                    loss.backward()
                    nn.utils.clip_grad_norm_(self.module.parameters(), self.params.clip)
                    self.optimizer.step()
                    self._fold_in()
                self.done += 1
                counted += 1
                for name, value in parts.items():
                    sums[name] = sums.get(name, 0.0) + value
                if self.done % 50 == 0 or self.done == self.params.steps:
                    speed = (self.done - began_at) / (time.monotonic() - started)
                    left = (self.params.steps - self.done) / speed / 60
                    line = {
                        "step": self.done,
                        "steps_per_second": round(speed, 3),
                        "minutes_left": round(left, 1),
                    }
                    line |= {name: round(value / counted, 5) for name, value in sums.items()}
                    log.write(json.dumps(line) + "\n")
                    log.flush()
                    print(line, flush=True)
                    sums, counted = {}, 0
                if self.done % self.params.save_every == 0:
                    self.save()
        self.save()

    def _fold_in(self) -> None:
        # A short memory at first, so that the average does not carry the random start along.
        decay = min(self.params.average, (1 + self.done) / (10 + self.done))
        for name, value in self.module.state_dict().items():
            if value.dtype.is_floating_point:
                self.average[name].lerp_(value.detach(), 1 - decay)
            else:
                self.average[name].copy_(value)

    def save(self) -> None:
        state = {
            "done": self.done,
            "module": self.module.state_dict(),
            "average": self.average,
            "optimizer": self.optimizer.state_dict(),
            "random": torch.get_rng_state(),
        }
        part = self.folder / "checkpoint.pt.part"
        torch.save(state, part)
        part.replace(self.folder / "checkpoint.pt")

    def resume(self) -> bool:
        """Go on from the folder's checkpoint; False when there is none."""
        path = self.folder / "checkpoint.pt"
        if not path.is_file():
            return False
        state = torch.load(path, weights_only=True)
        self.module.load_state_dict(state["module"])
        self.average = state["average"]
        self.optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["random"])
        self.done = state["done"]
        return True
