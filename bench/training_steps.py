"""One process of bench/training.py: the real training loops, on as many steps as are asked for, timed part by part."""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from refstar_model.data.batch import Batch
from refstar_model.data.photos import PhotoSet, load_photos
from refstar_model.data.plan import SampleMix
from refstar_model.data.stream import StreamParams, open_stream
from refstar_model.ganprior import training as ganprior
from refstar_model.ganprior.network import GanPrior
from refstar_model.judges.recognition import Recognizer
from refstar_model.losses.adversary import Adversary
from refstar_model.refstar import losses
from refstar_model.refstar import training as refstar
from refstar_model.refstar.network import RefStar
from refstar_model.training import Loop, LoopParams, Loss, Moment
from refstar_model.training.processes import Processes
from torch import nn

ALONE, REFERRED, PRIOR = KINDS = ("RefSTAR without references", "RefSTAR with references", "system 3")
BATCH, PHOTOS = 4, 48
#: Functions of a step, by the part that their time counts as; what one calls that is here too counts there.
TIMED = (
    (losses, "pixel_loss", "pixel loss"),
    (ganprior, "pixel_loss", "pixel loss"),
    (losses, "sharpness_loss", "sharpness"),
    (ganprior, "sharpness_loss", "sharpness"),
    (ganprior, "pattern_loss", "pattern"),
    (losses, "mask_loss", "mask labels"),
    (losses, "identity_distance", "identity"),
    (refstar, "adversarial_terms", "discriminator"),
    (refstar, "cycle_loss", "cycle"),
)
PARTS = (
    "loading",
    "forward",
    *dict.fromkeys(part for _, _, part in TIMED),
    "other losses",
    "backward",
    "exchange",
    "optimizer and average",
)


Step = Callable[[object, Moment], Loss]


@dataclass(frozen=True)
class Turn:
    """One step of one process: seconds by the clock and of the processor, and by part."""

    wall: float
    processor: float
    parts: dict[str, float]


class Parts:
    """A clock that charges what goes by to one part at a time."""

    def __init__(self) -> None:
        self.seconds, self._current, self._since = Counter[str](), ["loading"], time.perf_counter()

    def begin(self, name: str) -> None:
        self._charge()
        self._current[-1] = name

    def within(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*given: Any, **named: Any) -> Any:
            self._charge()
            self._current.append(name)
            try:
                return function(*given, **named)
            finally:
                self._charge()
                self._current.pop()

        return timed

    def _charge(self) -> None:
        now = time.perf_counter()
        self.seconds[self._current[-1]] += now - self._since
        self._since = now


class Turns(Iterator[object]):
    """So many batches for the loop; what each of its steps took is in ``done``."""

    def __init__(self, stream: Iterator[Batch], steps: int, parts: Parts) -> None:
        self.done: list[Turn] = []
        self._stream, self._left, self._parts = stream, steps, parts
        self._began: tuple[float, float] | None = None

    def __next__(self) -> Batch:
        self._parts.begin("loading")
        if self._began is not None:
            spent = time.perf_counter() - self._began[0], time.process_time() - self._began[1]
            self.done.append(Turn(*spent, dict(self._parts.seconds)))
        if not self._left:
            raise StopIteration
        self._left -= 1
        self._parts.seconds.clear()
        self._began = time.perf_counter(), time.process_time()
        batch = next(self._stream)
        self._parts.begin("other losses")
        return batch


class Worker:
    """One process of a way: the real loops, on as many batches of a kind as are asked for."""

    def __init__(self, photos: PhotoSet, recognizer: Recognizer | None, late: bool, folder: Path) -> None:
        """``late``: with what fades in in the second half of a run, discriminator and identity."""
        self.late = float(late)
        self.photos, self.recognizer, self.folder = photos, recognizer, folder
        self.processes, self.parts = Processes(), Parts()
        for owner, name, part in TIMED:
            self._time(owner, name, part)
        self._time(self.processes, "average_gradients", "exchange")
        self.restorer, self.prior = RefStar(), GanPrior()
        for method in ("alone", "encode", "forward"):
            self._time(self.restorer, method, "forward")
        self._time(self.prior, "forward", "forward")
        self.loops = {
            ALONE: self._loop(self.restorer, self._step_refstar),
            PRIOR: self._loop(self.prior, self._step_prior),
        }
        self.loops[REFERRED] = self.loops[ALONE]
        self.streams = {kind: self._stream(kind) for kind in KINDS}

    def work(self, kind: str, steps: int) -> list[Turn]:
        turns = Turns(self.streams[kind], steps, self.parts)
        loop, step = self.loops[kind]
        with suppress(StopIteration):  # as many as were asked for
            loop.run(turns, step)
        return turns.done

    def _time(self, owner: object, name: str, part: str) -> None:
        setattr(owner, name, self.parts.within(part, getattr(owner, name)))

    def _loop(self, module: nn.Module, step: Callable[[Loop, Batch], Loss]) -> tuple[Loop, Step]:
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        adversary = Adversary()
        adversary.module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        for method in ("judge", "loss"):
            self._time(adversary, method, "discriminator")
        params = LoopParams(steps=10**9, sheet_every=0, save_minutes=1e9, line_seconds=1e9)
        loop = Loop(module, params, self.folder, adversary, processes=self.processes)
        loop.optimizer.register_step_pre_hook(lambda *_: self.parts.begin("optimizer and average"))

        def timed(item: object, moment: Moment) -> Loss:
            assert isinstance(item, Batch)
            loss = step(loop, item)
            self.parts.begin("backward")
            return loss

        return loop, timed

    def _step_refstar(self, loop: Loop, batch: Batch) -> Loss:
        assert isinstance(loop.rival, Adversary)
        weights, critics = losses.LossWeights(), refstar.Critics(self.recognizer, None, loop.rival)
        if batch.alone:
            return refstar.alone_step(self.restorer.alone, self.restorer, batch, weights, critics, self.late)
        cycle = 4 if loop.done % 4 == 0 else 0
        return refstar.training_step(
            self.restorer, batch, weights, self.recognizer, self.late, critics, self.late, cycle
        )

    def _step_prior(self, loop: Loop, batch: Batch) -> Loss:
        assert isinstance(loop.rival, Adversary)
        return ganprior.training_step(
            self.prior, self.prior, batch, ganprior.LossWeights(), loop.rival, None, self.late
        )

    def _stream(self, kind: str) -> Iterator[Batch]:
        mix = SampleMix(alone=0.0 if kind == REFERRED else 1.0, absent=0.0, full_size=0.0, two_references=0.0)
        return open_stream(
            self.photos, StreamParams(BATCH, mix=mix), self.loops[kind][0].course(), self.processes.device
        )


def few(photos: PhotoSet) -> PhotoSet:
    """Enough to draw from, and soon read."""
    paired = {p for pair in photos.split("train").pairs for p in (pair.first, pair.second)}
    some = [p for p in photos.split("train").photos if p.file in paired and p.sharp_at_512][:PHOTOS]
    return replace(photos, photos=tuple(some), pairs=photos.split("train").pairs)


def main() -> None:
    """A line of the standard input is a kind and a number of steps; the answer is a list of turns, in one line."""
    made = argparse.ArgumentParser(description=__doc__)
    made.add_argument("data", type=Path, help="folder of faces.csv and pictures")
    made.add_argument("--recognizer", type=Path)
    made.add_argument("--threads", type=int, required=True)
    made.add_argument("--early", action="store_true")
    made.add_argument("--out", type=Path, required=True, help="folder for the loops' logs")
    options = made.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    recognizer = Recognizer(options.recognizer) if options.recognizer else None
    worker = Worker(few(load_photos(options.data)), recognizer, not options.early, options.out)
    for line in sys.stdin:
        print(json.dumps([asdict(turn) for turn in worker.work(**json.loads(line))]), flush=True)


if __name__ == "__main__":
    main()
