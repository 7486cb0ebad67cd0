"""The service at saturation, beside the bare loop: restorations per second through HTTP with real JPEG uploads.

.venv/bin/python bench/saturation.py
.venv/bin/python bench/saturation.py --rounds 5 --seconds 30 --work known

`refstar serve` as it comes (gateway, worker, embedded Redis), uploads of an aligned face and a reference by many
connections at once, each of which waits for its result, downloads it and goes on. Rounds of the service and of the
bare loops (bench/bare.py: overlapped with batches of 1 and of 8, and side by side) take turns in the same minutes.
Every upload is another file. With a reference the service also makes the selection picture, which the bare loops do
not.
"""

import argparse
import asyncio
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from bare import SIDE_BY_SIDE, WORKS, Loop, add_model_options, graphs, how_many, rate, yardsticks
from client import Connection, form, restore
from noop import write_noop_model
from refstar_service.settings import Settings
from report import Cell, Report, Table, command, parser, publish, this_machine
from samples import Faces, faces
from stack import Service, service

ROLES = ("gateway", "worker", "redis")


@dataclass
class Pair:
    """The bare loops and the service in one of the rounds, pictures per second."""

    bare: dict[str, float]
    service: float


@dataclass
class Round:
    """What one round of the service took. ``cpu``: milliseconds of processor time per restoration, by role."""

    moments: list[float] = field(default_factory=list)
    cpu: dict[str, float] = field(default_factory=dict)
    refusals: int = 0
    uploaded: int = 0  # bytes
    downloaded: int = 0
    wall: float = 0.0


def upload(files: Faces, work: str, number: int, model: str) -> bytes:
    """The form of the ``number``-th restoration by the model of that name."""
    pictures = [("image", files.picture(number))]
    if work != "none":
        # A known reference is the same file every time; the worker remembers its features.
        pictures.append(("references", files.references[0] if work == "known" else files.reference(number)))
    return form({"faces": "aligned", "model": model}, pictures)


def saturate(running: Service, files: Faces, work: str, count: int, at_once: int, model: str) -> Round:
    """``count`` restorations by ``model`` with ``at_once`` under way."""
    seen = Round()
    numbers = iter(range(time.monotonic_ns() % 10**12, 10**15))  # no round repeats the files of another
    left = iter(range(count))

    async def client() -> None:
        connection = Connection(running.host, running.port)
        for _ in left:
            body = upload(files, work, next(numbers), model)
            done = await restore(connection, body)
            seen.moments.append(time.perf_counter())
            seen.refusals += done.refusals
            seen.uploaded += len(body)
            seen.downloaded += len(done.picture)
        connection.close()

    async def all_clients() -> None:
        await asyncio.gather(*(client() for _ in range(at_once)))

    before, own, began = running.cpu(), time.process_time(), time.perf_counter()
    asyncio.run(all_clients())
    seen.wall = time.perf_counter() - began
    used = {role: seconds - before[role] for role, seconds in running.cpu().items()}
    seen.cpu = {role: 1000 * s / count for role, s in (used | {"client": time.process_time() - own}).items()}
    return seen


def measured(
    together: Loop, single: Loop, running: Service, options: argparse.Namespace, model: str
) -> tuple[list[Pair], list[Round]]:
    """The rounds of one kind of work, in turns with the bare loops'."""
    work, files, edge = together.work, together.faces, 2 * options.max_batch
    loops = yardsticks(together, single, (1, options.max_batch))
    counts = {name: how_many(run, options.seconds, edge) for name, run in loops.items()}
    # warms up, and remembers the reference
    saturate(running, files, work, 2 * options.max_batch, options.at_once, model)
    count = max(3 * edge, *counts.values())
    pairs, rounds = [], []
    for _ in range(options.rounds):
        bare = {name: rate(run(counts[name]), options.max_batch) for name, run in loops.items()}
        rounds.append(saturate(running, files, work, count, options.at_once, model))
        pairs.append(Pair(bare, rate(rounds[-1].moments, edge)))
        print(f"{work}: bare {bare}, service {pairs[-1].service:.2f}", flush=True)
    return pairs, rounds


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--work", nargs="+", choices=WORKS, default=list(WORKS))
    made.add_argument("--noop", action="store_true", help="a model that computes nothing")
    made.add_argument("--at-once", type=int, default=32, help="connections")
    made.add_argument("--max-batch", type=int, default=Settings().max_batch)
    made.add_argument("--seconds", type=float, default=15.0, help="about so long for a round")
    made.add_argument("--rounds", type=int, default=3)
    add_model_options(made)
    options = made.parse_args()
    machine, files = this_machine(), faces(options)
    cv2.setNumThreads(1)
    rows: list[tuple[Cell, ...]] = []
    costs: list[tuple[Cell, ...]] = []
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        model = options.model
        if options.noop:
            model = write_noop_model(Path(folder), Settings().models_dir / "detector")
        settings = {
            "MODELS_DIR": str(model.parent),
            "PROVIDER": options.provider,
            "MAX_BATCH": str(options.max_batch),
            # Results are downloaded at once; kept for the usual hour they would fill the embedded Redis.
            "RESULT_TTL": "5",
            "EXPIRED_TTL": "5",
        }
        with service(settings) as running:
            together, single = (graphs(model, options.provider, threads=count) for count in (None, 1))
            for work in options.work:
                loops = (Loop(loaded, files, work) for loaded in (together, single))
                pairs, rounds = measured(*loops, running, options, model.name)
                figures[work] = {"pairs": [asdict(p) for p in pairs], "rounds": [_summary(r) for r in rounds]}
                rows.append(_row(work, pairs))
                used = {
                    role: float(np.median([one.cpu[role] for one in rounds])) for role in (*ROLES, "client")
                }
                busy = [sum(r.cpu.values()) * len(r.moments) / 1000 / r.wall / machine.cores for r in rounds]
                costs.append((work, *used.values(), float(np.median(busy))))
            memory = running.most_memory()
    costs.append(("most memory, MiB", *(memory[role] for role in ROLES), None, None))
    name = "saturation-noop" if options.noop else "saturation"
    tables = (
        Table(
            name,
            (
                "reference",
                "overlapped, 1/s",
                "side by side, 1/s",
                "service, 1/s",
                "ratio to overlapped",
                "in the rounds",
                "to side by side",
                "in the rounds",
            ),
            tuple(rows),
        ),
        Table(
            f"{name}-costs",
            ("processor time per restoration, ms", *ROLES, "client", "share of the cores"),
            tuple(costs),
        ),
    )
    publish(Report(command("saturation", options, made), tables, figures), machine, options)


def _row(work: str, pairs: list[Pair]) -> tuple[Cell, ...]:
    """Of the overlapped loops, the batch counts that did best in the middle."""
    medians = {name: float(np.median([pair.bare[name] for pair in pairs])) for name in pairs[0].bare}
    beside = medians.pop(SIDE_BY_SIDE)
    best = max(medians, key=lambda name: medians[name])
    cells: list[Cell] = [work, medians[best], beside, float(np.median([pair.service for pair in pairs]))]
    for name in (best, SIDE_BY_SIDE):
        ratios = sorted(pair.service / pair.bare[name] for pair in pairs)
        cells += [float(np.median(ratios)), f"{ratios[0]:.3f} to {ratios[-1]:.3f}"]
    return tuple(cells)


def _summary(one: Round) -> dict[str, Any]:
    return {**asdict(one), "moments": len(one.moments)}


if __name__ == "__main__":
    main()
