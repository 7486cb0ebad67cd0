"""What holds the interpreter's lock: milliseconds per restoration, by step, in gateway and worker.

pip install py-spy
.venv/bin/python bench/lock.py --seconds 20
.venv/bin/python bench/lock.py --work known --lines 40

On a host whose GPU computes faster than a process can feed it, what counts is not the processor time of a process but
the part during which it holds the lock: decoding, resizing and inference do not. `refstar serve` runs with a model that
computes nothing, many connections restore aligned faces, and py-spy looks 500 times a second at the thread that holds
the lock, by the clock: a thread that waits for a core meanwhile counts, so the machine needs cores that are free. A
step is the innermost function of the service (or of uvicorn and the like) on the stack.
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


def count_steps(samples: str) -> Counter[str]:
    """Samples by step, of py-spy's raw format: frames from the outermost, separated by semicolons, and a count."""
    steps: Counter[str] = Counter()
    for line in samples.splitlines():
        stack, _, count = line.rpartition(" ")
        steps[_find_step(stack.split(";"))] += int(count)
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


def watch(pids: Mapping[str, int], seconds: float, folder: Path) -> dict[str, Counter[str]]:
    """Samples by step of each process during so many seconds."""
    program = shutil.which("py-spy")
    if program is None:
        sys.exit("py-spy is needed: pip install py-spy")
    spies = {}
    for role, pid in pids.items():
        options = ["--gil", "--format", "raw", "--rate", str(_RATE), "--duration", str(round(seconds))]
        spies[role] = subprocess.Popen(
            [program, "record", *options, "--pid", str(pid), "--output", str(folder / role)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
    for role, spy in spies.items():
        _, said = spy.communicate()
        if spy.returncode:
            sys.exit(f"py-spy could not look at the {role}: {said.strip()}")
    return {role: count_steps((folder / role).read_text()) for role in spies}


def measure(running: Service, files: Faces, work: str, options: argparse.Namespace) -> tuple[dict, Round]:
    """Samples by role and step, and the round in which they were taken."""
    saturate(running, files, work, 4 * options.at_once, options.at_once)
    rate = _measure_rate(running, files, work, options)
    seen: list[Round] = []
    # Longer than py-spy looks, so that it looks at nothing but work.
    count = round(rate * (options.seconds + 6))
    load = threading.Thread(
        target=lambda: seen.append(saturate(running, files, work, count, options.at_once))
    )
    load.start()
    with tempfile.TemporaryDirectory() as folder:
        pids = {role: running.processes[role] for role in ROLES}
        steps = watch(pids, options.seconds, Path(folder))
    load.join()
    return steps, seen[0]


def _measure_rate(running: Service, files: Faces, work: str, options: argparse.Namespace) -> float:
    one = saturate(running, files, work, 8 * options.at_once, options.at_once)
    return len(one.moments) / one.wall


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--work", choices=("none", "known", "new"), default="none", help="the reference")
    made.add_argument("--at-once", type=int, default=32, help="connections")
    made.add_argument("--seconds", type=float, default=20.0)
    made.add_argument("--lines", type=int, default=15, help="steps to show of each role")
    options = made.parse_args()
    options.real_faces = False
    machine, files = this_machine(), faces(options)
    tables = []
    with tempfile.TemporaryDirectory() as folder:
        model = write_noop_model(Path(folder), Settings().models_dir / "detector")
        settings = {"MODELS_DIR": str(model.parent), "RESULT_TTL": "5", "EXPIRED_TTL": "5"}
        with service(settings) as running:
            steps, seen = measure(running, files, options.work, options)
    restorations = len(seen.moments) / seen.wall * options.seconds
    for role in ROLES:
        each = {step: 1000 * count / _RATE / restorations for step, count in steps[role].most_common()}
        rows: list[tuple[Cell, ...]] = [("all", sum(each.values()))]
        rows += list(each.items())[: options.lines]
        tables.append(
            Table(f"lock-{role}", (f"{role}, reference {options.work}", "ms per restoration"), tuple(rows))
        )
    costs = tuple((role, milliseconds) for role, milliseconds in seen.cpu.items())
    tables.append(Table("lock-cpu", ("processor time", "ms per restoration"), costs))
    publish(
        Report(command("lock", options, made), tuple(tables), {"rate": len(seen.moments) / seen.wall}),
        machine,
        options,
    )


if __name__ == "__main__":
    main()
