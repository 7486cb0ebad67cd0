"""Training by itself: photographs a second of the real loop, and where a step's time goes.

.venv/bin/python bench/training.py
git worktree add ../before REVISION; .venv/bin/python bench/training.py --before ../before

Two ways take turns, a few steps each, so that a machine that is busy with something else hurts both alike: one process
with a thread for each core, and a process of one thread for each core. With `--before` the first way runs the `model/`
of that checkout. Steps are those of the second half of a run, with everything in them. Faces are those of
REFSTAR_DATA, else the example's.

Threads wait for one another at work: beside other programs two of them are not a little slower but ten times. There
only the processor's time says what a step costs, with `--threads 1 --processes 1`.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from refstar_model.data.batch import Batch
from refstar_model.data.photos import PhotoSet, load_photos
from refstar_model.data.plan import SampleMix
from refstar_model.data.stream import StreamParams, open_stream
from refstar_model.ganprior import training as ganprior
from refstar_model.ganprior.network import GanPrior
from refstar_model.losses.adversary import Adversary
from refstar_model.processes import Processes
from refstar_model.recognition import Recognizer
from refstar_model.refstar import losses
from refstar_model.refstar import training as refstar
from refstar_model.refstar.network import RefStar
from refstar_model.training import Loop, LoopParams
from refstar_service.engine.session import available_cpus
from report import Report, Table, command, parser, publish, this_machine
from samples import data_folder
from torch import Tensor, nn

DOCS = Path(__file__).parents[1] / "docs" / "training.md"
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


Loss = tuple[Tensor, dict[str, float]]
Step = Callable[[object, float], Loss]


@dataclass(frozen=True)
class Way:
    """``folder``: a checkout whose ``model/`` is run."""

    label: str
    folder: Path
    processes: int
    threads: int


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

    def __init__(self, photos: PhotoSet, recognizer: Recognizer | None, folder: Path) -> None:
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

        def timed(item: object, progress: float) -> Loss:
            assert isinstance(item, Batch)
            loss = step(loop, item)
            self.parts.begin("backward")
            return loss

        return loop, timed

    def _step_refstar(self, loop: Loop, batch: Batch) -> Loss:
        assert isinstance(loop.rival, Adversary)
        weights, critics = losses.LossWeights(), refstar.Critics(self.recognizer, None, loop.rival)
        if batch.alone:
            return refstar.alone_step(self.restorer.alone, self.restorer, batch, weights, critics, 1.0)
        cycle = 4 if loop.done % 4 == 0 else 0
        return refstar.training_step(self.restorer, batch, weights, self.recognizer, 1.0, critics, 1.0, cycle)

    def _step_prior(self, loop: Loop, batch: Batch) -> Loss:
        assert isinstance(loop.rival, Adversary)
        return ganprior.training_step(
            self.prior, self.prior, batch, ganprior.LossWeights(), loop.rival, None, 1.0
        )

    def _stream(self, kind: str) -> Iterator[Batch]:
        mix = SampleMix(alone=0.0 if kind == REFERRED else 1.0, absent=0.0, full_size=0.0, two_references=0.0)
        return open_stream(
            self.photos, StreamParams(BATCH, mix=mix), self.loops[kind][0].course(), self.processes.device
        )


class Group:
    """The processes of a way, idle until they are asked."""

    def __init__(self, way: Way, data: Path, recognizer: Path | None, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        made = [
            sys.executable,
            __file__,
            "--worker",
            str(data),
            "--threads",
            str(way.threads),
            "--out",
            str(folder),
        ]
        made += ["--recognizer", str(recognizer)] if recognizer else []
        self._members = []
        for rank in range(way.processes):
            environment = os.environ | {
                "PYTHONPATH": str(way.folder / "model"),
                "OMP_NUM_THREADS": str(way.threads),
                "WORLD_SIZE": str(way.processes),
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port),
            }
            self._members.append(
                subprocess.Popen(
                    made, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
                )
            )

    def take(self, kind: str, steps: int) -> list[list[Turn]]:
        """By process. Raises RuntimeError when one has ended."""
        for member in self._members:
            assert member.stdin is not None
            member.stdin.write(json.dumps({"kind": kind, "steps": steps}) + "\n")
            member.stdin.flush()
        return [self._answer(member) for member in self._members]

    def end(self) -> None:
        for member in self._members:
            assert member.stdin is not None
            member.stdin.close()
        for member in self._members:
            member.wait(timeout=60)

    @staticmethod
    def _answer(member: "subprocess.Popen[str]") -> list[Turn]:
        assert member.stdout is not None
        for line in member.stdout:
            if line.startswith("[{"):
                return [Turn(**turn) for turn in json.loads(line)]
        raise RuntimeError(f"a training process ended with {member.wait()}")


def few(photos: PhotoSet) -> PhotoSet:
    """Enough to draw from, and soon read."""
    paired = {p for pair in photos.split("train").pairs for p in (pair.first, pair.second)}
    some = [p for p in photos.split("train").photos if p.file in paired and p.sharp_at_512][:PHOTOS]
    return replace(photos, photos=tuple(some), pairs=photos.split("train").pairs)


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--before", type=Path, metavar="FOLDER", help="another checkout, for the first way")
    made.add_argument("--rounds", type=int, default=5)
    made.add_argument(
        "--steps", type=int, default=4, help="of each way and kind in a round; one in four has the cycle"
    )
    for hidden in ("--worker", "--recognizer", "--out"):
        made.add_argument(hidden, type=Path, help=argparse.SUPPRESS)
    made.add_argument("--threads", type=int, help="of the first way (default: one for each core)")
    made.add_argument("--processes", type=int, help="of the second way (default: one for each core)")
    options = made.parse_args()
    root = os.environ.get("REFSTAR_DATA")
    if options.worker:
        torch.set_num_threads(options.threads)
        torch.manual_seed(0)
        recognizer = Recognizer(options.recognizer) if options.recognizer else None
        worker = Worker(few(load_photos(options.worker)), recognizer, options.out)
        for line in sys.stdin:
            print(json.dumps([asdict(turn) for turn in worker.work(**json.loads(line))]), flush=True)
        return
    machine, cores, here = this_machine(), available_cpus(), Path(__file__).parents[1]
    named = "before, " if options.before else ""
    threads, count = options.threads or cores, options.processes or cores
    ways = (
        Way(
            f"{named}1 process of {threads} thread{'s'[: threads > 1]}",
            (options.before or here).resolve(),
            1,
            threads,
        ),
        Way(f"{count} process{'es'[: 2 * (count > 1)]} of 1 thread", here, count, 1),
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = Path(root.split(os.pathsep)[0]) / "faces" if root else data_folder(folder)
        teacher = data.parent / "models/mobileface/mobileface_v3.onnx"
        groups = [
            Group(way, data, teacher if teacher.is_file() else None, folder / str(number))
            for number, way in enumerate(ways)
        ]
        found: dict[tuple[str, str], list[list[list[Turn]]]] = {}
        for number in range(options.rounds + 1):
            for kind in KINDS:
                for way, group in zip(ways, groups, strict=True):
                    turns = group.take(kind, options.steps)
                    if number:  # the first round warms up
                        found.setdefault((kind, way.label), []).append(turns)
        for group in groups:
            group.end()
    publish(Report(command("training", options, made), tables(found, ways)), machine, options, DOCS)


def tables(found: dict[tuple[str, str], list[list[list[Turn]]]], ways: Sequence[Way]) -> tuple[Table, ...]:
    """Photographs a second and their ratio, and milliseconds of a photograph by part; medians of the rounds."""

    def rates(kind: str, way: Way) -> list[float]:
        return [
            sum(BATCH * len(one) for one in turns) / max(sum(t.wall for t in one) for one in turns)
            for turns in found[kind, way.label]
        ]

    def cost(kind: str, way: Way, of: Callable[[Turn], float]) -> float:
        each = [
            sum(of(t) for one in turns for t in one) / sum(BATCH * len(one) for one in turns)
            for turns in found[kind, way.label]
        ]
        return 1000 * float(np.median(each))

    whole, parts = [], []
    for kind in KINDS:
        before, after = (rates(kind, way) for way in ways)
        ratio = float(np.median([b / a for a, b in zip(before, after, strict=True)]))
        costs = [cost(kind, way, lambda t: t.processor) for way in ways]
        whole.append((kind, float(np.median(before)), float(np.median(after)), ratio, *costs))
    for part in PARTS:
        row = [cost(kind, way, lambda t, p=part: t.parts.get(p, 0.0)) for kind in KINDS for way in ways]
        parts.append((part, *row))
    labels = [way.label for way in ways]
    columns = ("photographs a second", *labels, "ratio", *(f"{label}: processor, ms" for label in labels))
    by_part = tuple(f"{kind}: {label}" for kind in KINDS for label in labels)
    return (
        Table("training-speed", columns, tuple(whole)),
        Table("training-parts", ("ms of a photograph", *by_part), tuple(parts)),
    )


if __name__ == "__main__":
    main()
