"""The training loop: schedule, averaged weights, checkpoints, resume.

It knows nothing of a system: a system gives it a module, an endless stream of batches and a step that returns the
loss and its parts; where it has them also a rival (a network that learns against the module) and a watch (who judges
the averaged weights now and then).
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor, nn

from refstar_model.layers.precision import compute_in
from refstar_model.progress import describe_seconds
from refstar_model.training.checkpoint import Checkpoint, Standing, write_whole
from refstar_model.training.clock import Clock, Ticker
from refstar_model.training.journal import Journal, carry_journal
from refstar_model.training.optimizers import GroupedAdamW
from refstar_model.training.params import LoopParams
from refstar_model.training.processes import Course, Processes
from refstar_model.training.progress import describe_progress, describe_values

B = TypeVar("B")
MOST_PROCESSES = 4096  # whose draws differ
Loss = tuple[Tensor, dict[str, float]]  # what is minimized, and its parts for the log


class Moment(NamedTuple):
    """When a step is taken."""

    done: int  # steps before it
    progress: float  # of the schedule, 0..1


Step = Callable[[B, Moment], Loss]


class Rival(Protocol):
    """A network that learns against the trained one. It has an optimizer of its own."""

    @property
    def module(self) -> nn.Module: ...

    def loss(self, step: int) -> Loss | None:
        """Its loss on what the step just made; None when that step did not ask it anything."""
        ...


@dataclass(frozen=True)
class Watch:
    """Who looks at the averaged weights during a run; both get the module in evaluation mode, without gradients.

    ``judge`` returns measures, among them ``score`` (larger is better): the best weights are kept by it. ``show`` draws
    a sheet [3, h, w] in 0..1.
    """

    judge: Callable[[nn.Module], dict[str, float]] | None = None
    show: Callable[[nn.Module], Tensor] | None = None


class Loop:
    """Training state of one module, resumable from ``folder/checkpoint.pt`` or from a parcel in ``folder``.

    Module and rival are moved to the device of ``processes``. ``about`` is written into every file of weights beside
    them. ``travel``: a folder that also gets, with every checkpoint, what of it can travel (parcel.py), the log and the
    last sheet. ``shares`` of the learning rate: as for `GroupedAdamW`.
    """

    def __init__(
        self,
        module: nn.Module,
        params: LoopParams,
        folder: Path,
        rival: Rival | None = None,
        about: Mapping[str, object] | None = None,
        processes: Processes | None = None,
        travel: Path | None = None,
        shares: Mapping[str, float] | None = None,
    ) -> None:
        self.module, self.params, self.folder, self.rival = module, params, folder, rival
        self.travel = travel
        self.about, self.processes = dict(about or {}), processes or Processes()
        self.done, self.best = 0, float("-inf")
        self.seed = 0
        self._began = 0  # the step at which the learning rate began to rise
        for one in self._modules():
            one.to(device=self.processes.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = {k: v.detach().clone() for k, v in module.state_dict().items()}
        self._groups = GroupedAdamW(module, params, shares or {})
        self.optimizer = self._groups.adam
        # No momentum in the rival: what it must tell apart changes under its feet.
        self.rival_optimizer = (
            torch.optim.Adam(rival.module.parameters(), lr=params.rival_rate, betas=(0.0, 0.99), fused=True)
            if rival is not None
            else None
        )
        self._checkpoint = Checkpoint(
            module, self.average, self.optimizer, rival.module if rival else None, self.rival_optimizer
        )

    def course(self, clock: Clock | None = None) -> Course:
        """The batches that this process is to take from where the run is; ``clock`` is that of the run."""
        each = self.params.accumulate * self.processes.count  # batches of a step
        start, total = self.done * each + self.processes.rank, self.params.steps * each
        return Course(start, self.processes.count, total, clock if self.params.by_clock else None)

    def run(
        self,
        batches: Iterator[B],
        step: Step[B],
        clock: Clock | None = None,
        watch: Watch | None = None,
    ) -> None:
        """Train until all steps are done or the time of ``clock`` is over; the state is saved either way, within it.

        A step with a loss or gradient that is not finite is left out.
        """
        params, watch, clock = self.params, watch or Watch(), clock or Clock()
        self.folder.mkdir(parents=True, exist_ok=True)
        for module in self._modules():
            self.processes.share(module)
            module.train()
        first, began, sums, counted = self.done, clock.spent, dict[str, float](), 0
        self._began = first if params.by_clock else 0
        lines, saves = Ticker(params.line_seconds), Ticker(60 * params.save_minutes)
        looks = params.by_clock  # once halfway: it also tells how long the look at the end will take
        with compute_in(params.precision), Journal(self.folder, self.done, self.processes.first) as journal:
            # By the clock at least one step is taken: else there would be nothing to bring home.
            while self.done < params.steps and (
                (params.by_clock and self.done == first) or not self.processes.any(clock.over)
            ):
                with clock.step():
                    parts = self._step(batches, step, self._progress(clock))
                for name, value in parts.items():
                    sums[name] = sums.get(name, 0.0) + value
                self.done += 1
                counted += 1
                last = self.done == params.steps
                if lines.due() or last:
                    speed = (self.done - first) / max(1e-9, clock.spent - began)
                    means = {name: round(value / counted, 5) for name, value in sums.items()}
                    line = {
                        "minutes": round(clock.spent / 60, 2),
                        "steps_per_second": round(speed, 3),
                        **means,
                    }
                    journal.line(self.done, line, self._describe(speed, clock, means))
                    sums, counted = {}, 0
                self._look_now_and_then(watch, journal, clock, last)
                if looks and clock.share >= 0.5:
                    looks = False
                    self._look(watch, journal, clock)
                if saves.due() or (params.save_every and self.done % params.save_every == 0):
                    with clock.closing("save"):
                        self.save()
            if params.by_clock and self.done < params.steps:
                # Saved before anybody looks: that takes long, and whoever lent the machine may not wait.
                with clock.closing("save"):
                    self.save()
                self._look(watch, journal, clock)
            self.save()
            journal.say(self._describe_end(clock))

    def _describe_end(self, clock: Clock) -> str:
        if self.done >= self.params.steps or self.params.by_clock:
            return f"done after {self.done:,} steps, {describe_seconds(clock.spent)} in this call"
        return (
            f"the time of this call is over at step {self.done:,} of {self.params.steps:,}; the same command goes on "
            "from here"
        )

    def _describe(self, speed: float, clock: Clock, means: Mapping[str, float]) -> str:
        steps = None if self.params.by_clock else self.params.steps
        said = describe_progress(self.done, steps, speed, clock.left)
        return f"{said}: {describe_values(means)}" if means else said

    def _progress(self, clock: Clock) -> float:
        """How far the schedule is, 0..1; the same in all processes."""
        p = self.params
        if p.by_clock:
            return self.processes.mean(clock.share)
        return min(1.0, max(0, self.done - p.warm_steps) / max(1, p.steps - p.warm_steps))

    def _step(self, batches: Iterator[B], step: Step[B], progress: float) -> dict[str, float]:
        """One step of the module and of its rival, over ``accumulate`` batches; returns the mean parts."""
        self._seed_draws()
        rate, share = self.params.rate(self.done - self._began, progress), 1 / self.params.accumulate
        pairs: list[tuple[torch.optim.Optimizer, nn.Module]] = [(self.optimizer, self.module)]
        self._groups.set_rate(rate)
        if self.rival is not None and self.rival_optimizer is not None:
            pairs.append((self.rival_optimizer, self.rival.module))
            for group in self.rival_optimizer.param_groups:
                group["lr"] = rate * self.params.rival_rate / self.params.learning_rate
        for optimizer, _ in pairs:
            optimizer.zero_grad(set_to_none=True)
        sums: dict[str, float] = {}
        asked = False
        for _ in range(self.params.accumulate):
            losses = [step(next(batches), Moment(self.done, progress))]
            _backward(losses[0][0] * share)
            if self.rival is not None and (answer := self.rival.loss(self.done)) is not None:
                losses.append(answer)
                _backward(answer[0] * share)
                asked = True
            for _, parts in losses:
                for name, value in parts.items():
                    sums[name] = sums.get(name, 0.0) + value * share
        # All processes' rivals learn, or none: of one batch it may have been asked and of another not.
        if self.rival is not None and not self.processes.any(asked):
            pairs = pairs[:1]
        for optimizer, module in pairs:
            self.processes.average_gradients(module)
            norm = nn.utils.clip_grad_norm_(module.parameters(), self.params.clip)
            # Judged after the processes have met: all of them leave the step out, or none.
            if bool(torch.isfinite(norm)):
                optimizer.step()
                if module is self.module:
                    self._fold_in()
        return sums

    def _seed_draws(self) -> None:
        """What a step draws depends on the run's seed, the step and the process: a run that goes on draws the same."""
        torch.manual_seed((self.seed * 1_000_003 + self.done) * MOST_PROCESSES + self.processes.rank)

    def _look_now_and_then(self, watch: Watch, journal: Journal, clock: Clock, last: bool) -> None:
        """The sheet and the judgment that are due after a step; the ``last`` one is always judged."""
        params = self.params
        if watch.show and params.sheet_every and self.done % params.sheet_every == 0:
            self._show(watch.show, journal, clock)
        if watch.judge and (last or (params.judge_every and self.done % params.judge_every == 0)):
            if clock.fits("judge"):
                self._judge(watch.judge, journal, clock)
            else:
                journal.say(f"step {self.done:,}: too little time is left to judge the weights")

    def _look(self, watch: Watch, journal: Journal, clock: Clock) -> None:
        if watch.show:
            self._show(watch.show, journal, clock)
        if watch.judge:
            self._judge(watch.judge, journal, clock)

    def _show(self, show: Callable[[nn.Module], Tensor], journal: Journal, clock: Clock) -> None:
        if self.processes.first:
            with clock.closing("sheet"), self.use_average() as module:
                journal.sheet(self.done, show(module))

    def _judge(self, judge: Callable[[nn.Module], dict[str, float]], journal: Journal, clock: Clock) -> None:
        if not self.processes.first:
            return
        journal.say(f"step {self.done:,}: restoring val faces to judge the weights")
        with clock.closing("judge"), self.use_average() as module:
            scores = judge(module)
        better = scores["score"] > self.best
        values = {f"val_{name}": round(value, 4) for name, value in scores.items()}
        found = "the best so far, kept as best.pt" if better else f"not better than {self.best:.4g}"
        journal.line(
            self.done, values, f"step {self.done:,}, on val faces ({found}): {describe_values(scores)}"
        )
        if better:
            self.best = scores["score"]
            self.write(self.folder / "best.pt", {"scores": scores})

    @contextmanager
    def use_average(self) -> Iterator[nn.Module]:
        """The module with the averaged weights, in evaluation mode, without gradients."""
        kept = {k: v.detach().clone() for k, v in self.module.state_dict().items()}
        self.module.load_state_dict(self.average)
        self.module.eval()
        try:
            with torch.no_grad():
                yield self.module
        finally:
            self.module.load_state_dict(kept)
            self.module.train()

    def write(self, path: Path, more: Mapping[str, object] | None = None) -> Path:
        """Write the averaged weights with ``about``, ``step`` and ``more``."""
        if self.processes.first:
            weights = {k: v.cpu() for k, v in self.average.items()}
            write_whole(path, {**self.about, "step": self.done, "weights": weights, **(more or {})})
        return path

    def _modules(self) -> list[nn.Module]:
        return [self.module] if self.rival is None else [self.module, self.rival.module]

    def _fold_in(self) -> None:
        # A short memory at first, so that the average does not carry the random start along.
        decay = min(self.params.average, (1 + self.done) / (10 + self.done))
        averages, values = [], []
        for name, value in self.module.state_dict().items():
            if value.dtype.is_floating_point:
                averages.append(self.average[name])
                values.append(value)
            else:
                self.average[name].copy_(value)
        torch._foreach_lerp_(averages, values, 1 - decay)

    def save(self) -> None:
        if not self.processes.first:
            return
        standing = Standing(self.done, self.best)
        self._checkpoint.save(self.folder, standing)
        if self.travel is not None:
            self._checkpoint.pack(self.travel, standing)
            if self.travel != self.folder:
                carry_journal(self.folder, self.travel)

    def resume(self) -> bool:
        """Go on from the folder (`Checkpoint.restore`); False when it holds nothing yet."""
        standing = self._checkpoint.restore(self.folder)
        if standing is None:
            return False
        self.done, self.best = standing
        return True

    def begin(self, seed: int, weights: Mapping[str, Tensor] | None = None) -> None:
        """Go on from the folder; where it holds nothing yet, begin, at ``weights`` if there are any.

        ``seed``: of what steps draw.
        """
        self.seed = seed
        if self.resume():
            if self.processes.first:
                of = "" if self.params.by_clock else f" of {self.params.steps:,}"
                print(f"resuming at step {self.done:,}{of}", flush=True)
            return
        if weights is not None:
            self.start_from(weights)

    def start_from(self, weights: Mapping[str, Tensor]) -> None:
        """Begin a new run, with a fresh schedule, at weights that another one made."""
        self._checkpoint.start_from(weights)


def fade(progress: float, start: float) -> float:
    """0 before ``start``, 1 from a tenth of the run after it."""
    return min(1.0, max(0.0, (progress - start) / 0.1))


def _backward(loss: Tensor) -> None:
    """Gradients of a loss; of one that is not finite all are NaN, so that its step is left out."""
    (loss if bool(torch.isfinite(loss)) else loss * float("nan")).backward()
