"""What a measurement leaves: a Markdown table, a JSON file, the tables of docs/performance.md.

.venv/bin/python bench/report.py FILE.json ...    # put tables that were measured before into docs/performance.md
"""

import argparse
import json
import os
import platform
import re
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from refstar_service.engine.session import available_cpus

DOCS = Path(__file__).parents[1] / "docs" / "performance.md"

#: Cores in use before the measurement began, from which others were at work beside it.
QUIET = 0.2
_LOOK = 2.0  # seconds

Cell = str | float | int | None


@dataclass(frozen=True)
class Table:
    """``name`` is its place in the docs: what stands between ``<!-- name -->`` and ``<!-- /name -->``."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def markdown(self) -> str:
        lines = [self.columns, ("---",) * len(self.columns), *(map(_shown, row) for row in self.rows)]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)


@dataclass(frozen=True)
class Report:
    """``command``: what was run; ``figures``: whatever else is worth keeping, for JSON."""

    command: str
    tables: tuple[Table, ...]
    figures: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Machine:
    """Where, with what, and how busy it was before."""

    cpu: str
    cores: int
    python: str
    onnxruntime: str
    busy_before: float  # cores
    at: str

    @property
    def caption(self) -> str:
        busy = (
            "" if self.busy_before < QUIET else f", **{self.busy_before:.1f} cores busy with something else**"
        )
        return f"{self.cores} cores of {self.cpu}, onnxruntime {self.onnxruntime}, {self.at}{busy}"


def this_machine() -> Machine:
    """Ask before measuring: afterwards the load is one's own."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        cpu = platform.processor() or platform.machine()
    try:
        runtime = version("onnxruntime")
    except PackageNotFoundError:
        runtime = version("onnxruntime-gpu") + " (gpu)"
    busy = _busy_cores()
    if busy >= QUIET:
        print(
            f"{busy:.1f} cores are busy with something else: figures are not to be trusted", file=sys.stderr
        )
    day = time.strftime("%Y-%m-%d", time.gmtime())
    return Machine(cpu, available_cpus(), platform.python_version(), runtime, round(busy, 2), day)


def _busy_cores() -> float:
    """Now, and not on average over the last minute: that would count the measurement before this one."""
    path = Path("/proc/stat")
    if not path.exists():
        return os.getloadavg()[0]

    def busy() -> int:  # user, nice, system, irq and softirq, in ticks of all cores
        fields = path.read_text().split("\n", 1)[0].split()[1:]
        return sum(int(fields[place]) for place in (0, 1, 2, 5, 6))

    before = busy()
    time.sleep(_LOOK)
    return (busy() - before) / os.sysconf("SC_CLK_TCK") / _LOOK


def parser(description: str | None) -> argparse.ArgumentParser:
    """With the options that all measurements have."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured there")
    made.add_argument("--docs", action="store_true", help="write the tables into their place in docs/")
    return made


def publish(report: Report, machine: Machine, options: argparse.Namespace, docs: Path = DOCS) -> None:
    """Print the tables; write them where the options say, ``docs`` among it."""
    print(f"\n{machine.caption}")
    for table in report.tables:
        print(f"\n{table.name}\n\n{table.markdown()}", flush=True)
    document = {
        "command": report.command,
        "machine": asdict(machine),
        "options": {name: _plain(value) for name, value in vars(options).items()},
        "tables": [asdict(table) for table in report.tables],
        "figures": report.figures,
    }
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(document, indent=2) + "\n")
    if options.docs:
        fill(docs, report, machine)


def fill(path: Path, report: Report, machine: Machine) -> None:
    """Put the tables into their places. Raises ValueError for a table that has none."""
    text = path.read_text()
    for table in report.tables:
        place = re.compile(
            rf"(<!-- {re.escape(table.name)} -->\n).*?(<!-- /{re.escape(table.name)} -->)", re.DOTALL
        )
        body = f"{table.markdown()}\n\n*{machine.caption}: `{report.command}`*\n"
        text, places = place.subn(lambda found, body=body: found[1] + body + found[2], text)  # type: ignore[misc]
        if places != 1:
            raise ValueError(f"{path} has {places} places for the table {table.name!r}")
    path.write_text(text)


def command(name: str, options: argparse.Namespace, made: argparse.ArgumentParser) -> str:
    """The command line that measures this again: options that are not at their defaults, no folders of this machine."""
    parts = [".venv/bin/python", f"bench/{name}.py"]
    for key, value in vars(options).items():
        if key in ("json", "docs", "environments") or value == made.get_default(key):
            continue
        flag = "--" + key.replace("_", "-")
        values = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
        parts += [flag] if value is True else [flag, *map(str, values)]
    return " ".join(parts)


def _shown(cell: Cell) -> str:
    if cell is None:
        return ""
    if isinstance(cell, float):
        return f"{cell:,.0f}" if abs(cell) >= 100 else f"{cell:.3g}" if cell else "0"
    return f"{cell:,}" if isinstance(cell, int) else cell


def _plain(value: object) -> object:
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return str(value) if isinstance(value, Path) else value


def main() -> None:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("files", nargs="+", type=Path)
    for file in made.parse_args().files:
        document = json.loads(file.read_text())
        tables = tuple(
            Table(table["name"], tuple(table["columns"]), tuple(map(tuple, table["rows"])))
            for table in document["tables"]
        )
        fill(DOCS, Report(document["command"], tables), Machine(**document["machine"]))


if __name__ == "__main__":
    main()
