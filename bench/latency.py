"""What the service adds when nobody else asks: seconds from the upload to the picture in hand, less the work itself.

.venv/bin/python bench/latency.py
.venv/bin/python bench/latency.py --times 300 --pause 0.2
.venv/bin/python bench/latency.py --model service/refstar_service/zoo/ganprior

`refstar serve` as it comes, one request at a time on one connection: POST with `Prefer: wait`, then GET of the result.
In turns with it the same file goes through the bare serial loop (bench/bare.py) in this process; *added* is the
difference of neighbors. Once with a model that computes nothing, once with the shipped one. A photograph of 12
megapixels has no bare loop to compare with; it is there for its whole time.
"""

import argparse
import asyncio
import hashlib
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from bare import Loop, add_model_options, graphs
from client import Connection, form, restore
from noop import write_noop_model
from peer_servers.graphs import encoded
from refstar_service.settings import Settings
from report import Cell, Report, Table, command, parser, publish, this_machine
from samples import faces, jpeg, photograph
from saturation import upload
from stack import Service, service

STAGES = ("fetch", "decode", "detect", "infer", "review", "paste", "encode", "store")
WARM_UP = 5


@dataclass
class Seen:
    """Seconds, one entry a request. ``bare`` is empty where there is nothing to compare with."""

    service: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)
    stages: list[dict[str, float]] = field(default_factory=list)
    results: set[str] = field(default_factory=set)  # hashes

    def row(self, case: str) -> tuple[Cell, ...]:
        total = 1000 * np.array(self.service)
        if not self.bare:
            return (case, None, float(np.median(total)), None, None, None, float(np.max(total)))
        added = total - 1000 * np.array(self.bare)
        percentiles = (float(np.percentile(added, p)) for p in (50, 95, 99))
        return (
            case,
            1000 * float(np.median(self.bare)),
            float(np.median(total)),
            *percentiles,
            float(np.max(total)),
        )

    def stage_row(self, case: str) -> tuple[Cell, ...]:
        medians = [1000 * float(np.median([one.get(stage, 0.0) for one in self.stages])) for stage in STAGES]
        inside = np.array([sum(one.values()) for one in self.stages])
        elsewhere = 1000 * float(np.median(np.array(self.service) - inside))
        return (case, *medians, elsewhere)


def measure(running: Service, bodies: list[bytes], loop: Loop | None, pause: float) -> Seen:
    """Each body once; the first WARM_UP do not count."""
    seen = Seen()
    known = loop.known() if loop is not None else None

    async def all_of_them() -> None:
        connection = Connection(running.host, running.port)
        for number, body in enumerate(bodies):
            await asyncio.sleep(pause)
            began = time.perf_counter()
            done = await restore(connection, body)
            took = time.perf_counter() - began
            bare = None
            if loop is not None:
                await asyncio.sleep(pause)
                began = time.perf_counter()
                encoded(loop.infer([loop.read(number)], known)[0])
                bare = time.perf_counter() - began
            if number >= WARM_UP:
                seen.service.append(took)
                seen.stages.append(done.job["timings"])
                seen.results.add(hashlib.sha256(done.picture).hexdigest())
                if bare is not None:
                    seen.bare.append(bare)
        connection.close()

    asyncio.run(all_of_them())
    return seen


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--times", type=int, default=100)
    made.add_argument("--pause", type=float, default=0.05, help="seconds before each request")
    add_model_options(made)
    options = made.parse_args()
    machine = this_machine()
    cv2.setNumThreads(1)
    cases: dict[str, Seen] = {}
    with tempfile.TemporaryDirectory() as folder:
        noop = write_noop_model(Path(folder), Settings().models_dir / "detector")
        for model, called in ((noop, "no-op"), (options.model, "shipped")):
            settings = {"MODELS_DIR": str(model.parent), "PROVIDER": options.provider}
            cases |= {f"{called}, {case}": seen for case, seen in _of_model(model, settings, options).items()}
    columns = (
        "model and picture",
        "bare p50",
        "service p50",
        "added p50",
        "added p95",
        "added p99",
        "longest",
    )
    tables = (
        Table(
            "latency",
            tuple(f"{c}, ms" if n else c for n, c in enumerate(columns)),
            tuple(s.row(c) for c, s in cases.items()),
        ),
        Table(
            "latency-stages",
            ("p50 of each stage, ms", *STAGES, "elsewhere"),
            tuple(s.stage_row(c) for c, s in cases.items()),
        ),
    )
    figures = {
        case: {"service": s.service, "bare": s.bare, "different_results": len(s.results)}
        for case, s in cases.items()
    }
    publish(Report(command("latency", options, made), tables, figures), machine, options)


def _of_model(model: Path, settings: dict[str, str], options: argparse.Namespace) -> dict[str, Seen]:
    files, count = faces(options), options.times + WARM_UP
    seen = {}
    with service(settings) as running:
        loaded = graphs(model, options.provider)
        cases = {"none": "aligned 512", "known": "aligned 512, known reference"}
        for work in ("none", "known") if loaded.takes_references else ("none",):
            bodies = [upload(files, work, number, model.name) for number in range(count)]
            seen[cases[work]] = measure(running, bodies, Loop(loaded, files, work), options.pause)
        large = form({"model": model.name}, [("image", jpeg(photograph(12, 1, files.references[0])))])
        seen["12 megapixels, one face"] = measure(
            running, [large] * (WARM_UP + max(3, options.times // 5)), None, options.pause
        )
    return seen


if __name__ == "__main__":
    main()
