"""What holds the interpreter's lock: milliseconds per restoration, by step, in gateway and worker.

pip install py-spy
.venv/bin/python bench/lock.py --seconds 20
.venv/bin/python bench/lock.py --work known --lines 40

On a host whose GPU computes faster than a process can feed it, what counts is not the processor time of a process but
the part of it during which it holds the lock: decoding, resizing and inference do not. `refstar serve` runs with a
model that computes nothing, and many connections restore aligned faces: first alone, for the processor time of the
event loop and of the threads beside it, as the kernel counts it; then py-spy looks 500 times a second at the threads
that run and at the one that holds the lock. Locked time is that processor time by the share of the samples that hold
the lock, so neither waiting for a core nor being looked at counts. A step is the innermost function of the service (or
of uvicorn and the like) on the stack.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from noop import write_noop_model
from refstar_service.settings import Settings
from report import Cell, Report, Table, command, parser, publish, this_machine
from samples import Faces, faces
from saturation import Round, saturate
from stack import Service, service

ROLES = ("gateway", "worker")
_RATE = 500
_FRAME = re.compile(r"(?P<function>\S+) \((?P<file>[^:)]*)(?::\d+)?\)")
_MAIN = re.compile(r"thread \([^)]*\): \"?MainThread")
LOOP, POOL = "event loop", "threads beside it"
_KINDS: dict[str, tuple[str, ...]] = {"running": (), "holding": ("--gil",)}
Samples = dict[str, dict[str, Counter[str]]]  # by kind, part and step
Locked = dict[str, dict[str, Counter[str]]]  # milliseconds by role, part and step


def count_steps(samples: str) -> dict[str, Counter[str]]:
    """Samples by part of the process and step, of py-spy's raw format: the thread and its frames from the outermost,
    separated by semicolons, and a count."""
    steps: dict[str, Counter[str]] = {LOOP: Counter(), POOL: Counter()}
    for line in samples.splitlines():
        stack, _, count = line.rpartition(" ")
        thread, *frames = stack.split(";")
        steps[LOOP if _MAIN.match(thread) else POOL][_find_step(frames)] += int(count)
    return steps


def _find_step(frames: list[str]) -> str:
    found = [match for frame in frames if (match := _FRAME.fullmatch(frame))]
    for match in reversed(found):
        if "refstar_service" in match["file"]:
            return f"{match['file'].rpartition('refstar_service/')[2]}: {match['function']}"
    for match in reversed(found):
        if "/" in match["file"] and "lib/python" not in match["file"].rpartition("site-packages")[0]:
            return f"{match['file'].split('/')[0]}: {match['function']}"
    return f"python: {found[-1]['function']}" if found else "python"


def read_seconds(pid: int) -> dict[str, float]:
    """Processor time of both parts of a process, as the kernel counts it."""
    seconds = {LOOP: 0.0, POOL: 0.0}
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError):
            used = int((task / "schedstat").read_text().split()[0]) / 1e9
            seconds[LOOP if int(task.name) == pid else POOL] += used
    return seconds


def watch(pids: Mapping[str, int], seconds: float, folder: Path) -> dict[str, Samples]:
    """Samples of each process during so many seconds."""
    program = shutil.which("py-spy")
    if program is None:
        sys.exit("py-spy is needed: pip install py-spy")
    spies = {}
    for role, pid in pids.items():
        for kind, more in _KINDS.items():
            options = [
                "--threads",
                "--format",
                "raw",
                "--rate",
                str(_RATE),
                "--duration",
                str(round(seconds)),
            ]
            spies[role, kind] = subprocess.Popen(
                [
                    program,
                    "record",
                    *options,
                    *more,
                    "--pid",
                    str(pid),
                    "--output",
                    str(folder / f"{role}-{kind}"),
                ],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
    for (role, _), spy in spies.items():
        _, said = spy.communicate()
        if spy.returncode:
            sys.exit(f"py-spy could not look at the {role}: {said.strip()}")
    return {
        role: {kind: count_steps((folder / f"{role}-{kind}").read_text()) for kind in _KINDS} for role in pids
    }


def measure(
    running: Service, files: Faces, work: str, options: argparse.Namespace, model: str
) -> tuple[Locked, Round]:
    """Locked milliseconds a restoration, and the round in which nobody looked."""
    saturate(running, files, work, 8 * options.at_once, options.at_once, model)
    pids = {role: running.processes[role] for role in ROLES}
    before = {role: read_seconds(pid) for role, pid in pids.items()}
    alone = saturate(running, files, work, options.restorations, options.at_once, model)
    used = {
        role: {
            part: 1000 * (after - before[role][part]) / options.restorations
            for part, after in read_seconds(pid).items()
        }
        for role, pid in pids.items()
    }
    # Longer than py-spy looks, so that it looks at nothing but work.
    count = round(options.restorations / alone.wall * (options.seconds + 6))
    load = threading.Thread(target=saturate, args=(running, files, work, count, options.at_once))
    load.start()
    with tempfile.TemporaryDirectory() as folder:
        samples = watch(pids, options.seconds, Path(folder))
    load.join()
    return {
        role: {part: _scale(samples[role], part, used[role][part]) for part in (LOOP, POOL)} for role in ROLES
    }, alone


def _scale(samples: Samples, part: str, milliseconds: float) -> Counter[str]:
    """Of a part of a process that takes so much processor time: what it holds the lock for, by step."""
    holding = samples["holding"][part]
    # Never more than all of it: the two looks are at different moments.
    each = milliseconds / max(samples["running"][part].total(), holding.total(), 1)
    return Counter({step: count * each for step, count in holding.items()})


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--work", choices=("none", "known", "new"), default="none", help="the reference")
    made.add_argument("--at-once", type=int, default=32, help="connections")
    made.add_argument("--restorations", type=int, default=1000, help="while nobody looks (%(default)s)")
    made.add_argument("--seconds", type=float, default=20.0, help="that py-spy looks (%(default)s)")
    made.add_argument("--lines", type=int, default=15, help="steps to show of each role")
    options = made.parse_args()
    options.real_faces = False
    machine, files = this_machine(), faces(options)
    tables = []
    with tempfile.TemporaryDirectory() as folder:
        model = write_noop_model(Path(folder), Settings().models_dir / "detector")
        settings = {"MODELS_DIR": str(model.parent), "RESULT_TTL": "5", "EXPIRED_TTL": "5"}
        with service(settings) as running:
            locked, alone = measure(running, files, options.work, options, model.name)
    for role in ROLES:
        rows: list[tuple[Cell, ...]] = [("all", sum(steps.total() for steps in locked[role].values()))]
        rows += [(f"all of the {part}", steps.total()) for part, steps in locked[role].items()]
        rows += list((locked[role][LOOP] + locked[role][POOL]).most_common(options.lines))
        tables.append(
            Table(
                f"lock-{role}", (f"{role}, reference {options.work}", "locked ms a restoration"), tuple(rows)
            )
        )
    costs = tuple((role, milliseconds) for role, milliseconds in alone.cpu.items())
    tables.append(Table("lock-cpu", ("processor time", "ms a restoration"), costs))
    publish(
        Report(command("lock", options, made), tuple(tables), {"rate": options.restorations / alone.wall}),
        machine,
        options,
    )


if __name__ == "__main__":
    main()
