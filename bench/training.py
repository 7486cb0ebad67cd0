"""Training by itself: photographs a second of the real loop, and where a step's time goes.

.venv/bin/python bench/training.py
git worktree add ../before REVISION; .venv/bin/python bench/training.py --before ../before

Two ways take turns, a few steps each, so that a machine that is busy with something else hurts both alike: one process
with a thread for each core, and a process of one thread for each core. With `--before` the first way runs the `model/`
of that checkout. Threads wait for one another at work: beside other programs two of them are not a little slower but
ten times, and only the processor's time with `--threads 1` says what a step costs. Steps are those of the second half
of a run, with everything in them. Faces are those of REFSTAR_DATA, else the example's.
"""

import argparse
import csv
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from refstar_model.data.batch import Batch
from refstar_model.data.photos import PhotoSet, load_photos
from refstar_model.data.plan import SampleMix
from refstar_model.data.samples import Samples
from refstar_model.processes import Processes
from refstar_model.recognition import Recognizer
from refstar_model.refstar import losses, training
from refstar_model.refstar.discriminator import Adversary
from refstar_model.refstar.network import SMALL, RefStar
from refstar_model.training import Loop, LoopParams
from refstar_service.engine.session import available_cpus
from report import Report, Table, command, parser, publish, this_machine
from samples import EXAMPLE
from torch import Tensor
from torch.utils.data import DataLoader

DOCS = Path(__file__).parents[1] / "docs" / "training.md"
KINDS = {"without references": 1.0, "with references": 0.0}  # share of batches that are alone
BATCH, PHOTOS, PEOPLE = 4, 48, 8
#: Functions of a step, by the part that their time counts as; what one calls that is in the table too counts there.
LOSSES = {
    "pixel loss": ((losses, "pixel_loss"),),
    "sharpness": ((losses, "sharpness_loss"),),
    "mask labels": ((losses, "mask_loss"),),
    "identity": ((losses, "identity_distance"),),
    "discriminator": ((training, "adversarial_terms"),),
    "cycle": ((training, "cycle_loss"),),
}
PARTS = ("loading", "forward", *LOSSES, "other losses", "backward", "exchange", "optimizer and average")


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
    """Batches for the loop, as many of a kind as a line of the standard input asks for; the answer is their turns."""

    def __init__(self, streams: dict[str, Iterator[Batch]], parts: Parts) -> None:
        self.streams, self.parts = streams, parts
        self._kind, self._left, self._turns = "", 0, list[Turn]()
        self._began: tuple[float, float] | None = None

    def __next__(self) -> Batch:
        if self._began is not None:
            self.parts.begin("loading")
            spent = time.perf_counter() - self._began[0], time.process_time() - self._began[1]
            self._turns.append(Turn(*spent, dict(self.parts.seconds)))
        if not self._left:
            if self._turns:
                print(json.dumps([asdict(turn) for turn in self._turns]), flush=True)
            line = sys.stdin.readline()
            if not line:
                raise StopIteration
            asked = json.loads(line)
            self._kind, self._left, self._turns = asked["kind"], asked["steps"], []
        self._left -= 1
        self._began = time.perf_counter(), time.process_time()
        self.parts.begin("loading")
        self.parts.seconds.clear()
        batch = next(self.streams[self._kind])
        self.parts.begin("other losses")
        return batch


def work(photos: PhotoSet, recognizer: Recognizer | None, threads: int, folder: Path) -> None:
    """One process of a way: the real loop, on batches that are asked for."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    processes, parts = Processes(), Parts()
    module = RefStar(SMALL).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    adversary = Adversary()
    critics = training.Critics(recognizer, None, adversary)
    never = LoopParams(steps=10**9, sheet_every=0, save_minutes=1e9, line_seconds=1e9)
    loop = Loop(module, never, folder, adversary, processes=processes)
    for name, functions in LOSSES.items():
        for owner, function in functions:
            setattr(owner, function, parts.within(name, getattr(owner, function)))
    for method in ("alone", "encode", "forward"):
        setattr(module, method, parts.within("forward", getattr(module, method)))
    adversary.loss = parts.within("discriminator", adversary.loss)  # type: ignore[method-assign]
    processes.average_gradients = parts.within("exchange", processes.average_gradients)  # type: ignore[method-assign]
    loop.optimizer.register_step_pre_hook(lambda *_: parts.begin("optimizer and average"))

    def stream(alone: float) -> Iterator[Batch]:
        mix = SampleMix(alone=alone, full_size=0, two_references=0)
        samples = Samples(photos, mix, BATCH, 0, start=processes.rank, stride=processes.count)
        return iter(
            DataLoader(
                samples, batch_size=None, num_workers=1, prefetch_factor=4, multiprocessing_context="spawn"
            )
        )

    def step(item: object, progress: float) -> tuple[Tensor, dict[str, float]]:
        assert isinstance(item, Batch)
        weights = losses.LossWeights()
        if item.alone:
            loss = training.alone_step(module.alone, module, item, weights, critics, 1.0)
        else:
            cycle = 4 if loop.done % 4 == 0 else 0
            loss = training.training_step(module, item, weights, recognizer, 1.0, critics, 1.0, cycle)
        parts.begin("backward")
        return loss

    try:
        loop.run(Turns({kind: stream(alone) for kind, alone in KINDS.items()}, parts), step)
    except StopIteration:  # nobody asks for more
        return


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


def example_folder(folder: Path) -> Path:
    """A data folder of the example's two pictures as ``PEOPLE``, each in a light of its own."""
    pictures = [cv2.imread(str(EXAMPLE / f"{name}.jpg")) for name in ("degraded", "reference")]
    faces, pairs = [], []
    for person in range(PEOPLE):
        files = [f"{person}_{number}.png" for number in range(len(pictures))]
        for file, picture in zip(files, pictures, strict=True):
            for size in (256, 512):
                (folder / f"faces{size}").mkdir(exist_ok=True)
                lit = np.clip(cv2.resize(picture, (size, size)) * (0.8 + 0.05 * person), 0, 255).astype(
                    np.uint8
                )
                cv2.imwrite(str(folder / f"faces{size}" / file), lit)
            faces.append({"file": file, "split": "train", "person": person, "in512": 1, "licence": "example"})
        pairs.append(
            {"person": person, "split": "train", "file_a": files[0], "file_b": files[1], "emb_sim": 0.8}
        )
    for name, rows in (("faces.csv", faces), ("pairs.csv", pairs)):
        with (folder / name).open("w", newline="") as out:
            writer = csv.DictWriter(out, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    return folder


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
    options = made.parse_args()
    root = os.environ.get("REFSTAR_DATA")
    if options.worker:
        recognizer = Recognizer(options.recognizer) if options.recognizer else None
        work(few(load_photos(options.worker)), recognizer, options.threads, options.out)
        return
    machine, cores, here = this_machine(), available_cpus(), Path(__file__).parents[1]
    named = "before, " if options.before else ""
    threads = options.threads or cores
    ways = (
        Way(
            f"{named}1 process of {threads} thread{'s'[: threads > 1]}",
            (options.before or here).resolve(),
            1,
            threads,
        ),
        Way(f"{cores} processes of 1 thread", here, cores, 1),
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = Path(root.split(os.pathsep)[0]) / "faces" if root else example_folder(folder)
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
        row = [cost(kind, way, lambda t, p=part: t.parts.get(p, 0.0)) for kind in KINDS for way in ways]  # type: ignore[misc]
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
