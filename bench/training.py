"""Training by itself: photographs a second of the real loop, and where a step's time goes.

.venv/bin/python bench/training.py
git worktree add ../before REVISION; .venv/bin/python bench/training.py --before ../before

Two ways take turns, a few steps each, so that a machine that is busy with something else hurts both alike: one process
with a thread for each core, and a process of one thread for each core. With `--before` the first way runs the `model/`
of that checkout. Steps are those of the second half of a run, with everything in them, with `--early` those of the
first. Faces are those of REFSTAR_DATA, else the example's.

Threads wait for one another at work: beside other programs two of them are not a little slower but ten times. There
only the processor's time says what a step costs, with `--threads 1 --processes 1`.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from refstar_service.engine.session import available_cpus
from report import Report, Table, command, parser, publish, this_machine
from samples import data_folder
from training_steps import BATCH, KINDS, PARTS, Turn

DOCS = Path(__file__).parents[1] / "docs" / "training.md"
WORKER = Path(__file__).with_name("training_steps.py")


@dataclass(frozen=True)
class Way:
    """``folder``: a checkout whose ``model/`` is run."""

    label: str
    folder: Path
    processes: int
    threads: int


class Group:
    """The processes of a way, idle until they are asked."""

    def __init__(self, way: Way, data: Path, recognizer: Path | None, early: bool, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        made = [sys.executable, str(WORKER), str(data), "--threads", str(way.threads), "--out", str(folder)]
        made += ["--recognizer", str(recognizer)] if recognizer else []
        made += ["--early"] if early else []
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


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--before", type=Path, metavar="FOLDER", help="another checkout, for the first way")
    made.add_argument("--rounds", type=int, default=5)
    made.add_argument(
        "--steps", type=int, default=4, help="of each way and kind in a round; one in four has the cycle"
    )
    made.add_argument("--threads", type=int, help="of the first way (default: one for each core)")
    made.add_argument("--processes", type=int, help="of the second way (default: one for each core)")
    made.add_argument("--early", action="store_true", help="without discriminator and identity")
    options = made.parse_args()
    root = os.environ.get("REFSTAR_DATA")
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
            Group(way, data, teacher if teacher.is_file() else None, options.early, folder / str(number))
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
