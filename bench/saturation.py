"""The service at saturation, beside the bare loop: restorations per second through HTTP with real JPEG uploads.

.venv/bin/python bench/saturation.py
.venv/bin/python bench/saturation.py --rounds 5 --seconds 30 --work known

`refstar serve` as it comes (gateway, worker, embedded Redis), uploads of an aligned face and a reference by many
connections at once, each of which waits for its result, downloads it and goes on. Rounds of the service and of the
overlapped bare loop (bench/bare.py, batches of 1 and as many as the service takes; the better one counts) take turns in
the same minutes. Every upload is another file. With a reference the service also makes the selection picture, which
the bare loop does not.
"""

import argparse
import asyncio
import tempfile
import time
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from bare import WORKS, Loop, add_model_options, graphs, how_many, overlapped, rate
from client import Connection, form, restore
from noop import write_noop_model
from refstar_service.settings import Settings
from report import Cell, Report, Table, command, parser, publish, this_machine
from samples import Faces, faces
from stack import Service, service

ROLES = ("gateway", "worker", "redis")


@dataclass
class Pair:
    """The bare loop and the service in one of the rounds, pictures per second."""

    bare: dict[int, float]  # by its batch
    service: float

    @property
    def ratio(self) -> float:
        return self.service / max(self.bare.values())


@dataclass
class Round:
    """What one round of the service took. ``cpu``: milliseconds of processor time per restoration, by role."""

    moments: list[float] = field(default_factory=list)
    cpu: dict[str, float] = field(default_factory=dict)
    refusals: int = 0
    uploaded: int = 0  # bytes
    downloaded: int = 0
    wall: float = 0.0


def upload(files: Faces, work: str, number: int) -> bytes:
    """The form of the ``number``-th restoration."""
    pictures = [("image", files.picture(number))]
    if work != "none":
        # A known reference is the same file every time; the worker remembers its features.
        pictures.append(("references", files.references[0] if work == "known" else files.reference(number)))
    return form({"faces": "aligned"}, pictures)


def saturate(running: Service, files: Faces, work: str, count: int, at_once: int) -> Round:
    """``count`` restorations with ``at_once`` under way."""
    seen = Round()
    numbers = iter(range(time.monotonic_ns() % 10**12, 10**15))  # no round repeats the files of another
    left = iter(range(count))

    async def client() -> None:
        connection = Connection(running.host, running.port)
        for _ in left:
            body = upload(files, work, next(numbers))
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


def measured(loop: Loop, running: Service, options: argparse.Namespace) -> tuple[list[Pair], list[Round]]:
    """The rounds of one kind of work, in turns with the bare loop's."""
    work, files, edge = loop.work, loop.faces, 2 * options.max_batch
    counts = {
        batch: how_many(partial(overlapped, loop, batch=batch), options.seconds, 2 * batch)
        for batch in sorted({1, options.max_batch})
    }
    saturate(
        running, files, work, 2 * options.max_batch, options.at_once
    )  # warms up, and remembers the reference
    count = max(3 * edge, *counts.values())
    pairs, rounds = [], []
    for _ in range(options.rounds):
        bare = {batch: rate(overlapped(loop, n, batch), batch) for batch, n in counts.items()}
        rounds.append(saturate(running, files, work, count, options.at_once))
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
            loaded = graphs(model, options.provider)
            for work in options.work:
                pairs, rounds = measured(Loop(loaded, files, work), running, options)
                figures[work] = {"pairs": [asdict(p) for p in pairs], "rounds": [_summary(r) for r in rounds]}
                best = max(pairs[0].bare, key=lambda batch: np.median([pair.bare[batch] for pair in pairs]))
                ratios = sorted(pair.ratio for pair in pairs)
                rows.append(
                    (
                        work,
                        float(np.median([pair.bare[best] for pair in pairs])),
                        best,
                        float(np.median([pair.service for pair in pairs])),
                        float(np.median(ratios)),
                        f"{ratios[0]:.3f} to {ratios[-1]:.3f}",
                    )
                )
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
            ("reference", "bare loop, 1/s", "its batch", "service, 1/s", "ratio", "in the rounds"),
            tuple(rows),
        ),
        Table(
            f"{name}-costs",
            ("processor time per restoration, ms", *ROLES, "client", "share of the cores"),
            tuple(costs),
        ),
    )
    publish(Report(command("saturation", options, made), tables, figures), machine, options)


def _summary(one: Round) -> dict[str, Any]:
    return {**asdict(one), "moments": len(one.moments)}


if __name__ == "__main__":
    main()
