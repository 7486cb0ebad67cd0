"""The yardstick: faces per second of onnxruntime alone, without queue and HTTP, one after another and overlapped.

.venv/bin/python bench/bare.py
.venv/bin/python bench/bare.py --batch 1 2 4 8 --seconds 20

Every picture is decoded from JPEG, restored and encoded as JPEG again. Overlapped: threads decode and encode while the
model works, as many as there are cores. Side by side: for each core a thread that does all of it, with an inference of
one thread. `known` has one reference whose features are there already, `new` a reference
of its own for every picture, which is decoded and encoded too, `none` none. `spinning` is onnxruntime's default: its
threads do not sleep between two operators.
"""

import argparse
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from peer_servers.graphs import Features, Graphs, Pixels, decoded, encoded
from refstar_service.engine.session import available_cpus
from refstar_service.settings import Settings
from report import Report, Table, command, parser, publish, this_machine
from samples import Faces, add_option, faces

MODEL = Settings().models_dir / "refstar"
WORKS = ("none", "known", "new")
SIDE_BY_SIDE = "side by side"


@dataclass(frozen=True)
class Loop:
    """A model, pictures, and what to do with references (one of WORKS)."""

    graphs: Graphs
    faces: Faces
    work: str

    def read(self, number: int) -> tuple[Pixels, Pixels | None]:
        side = self.graphs.side
        reference = decoded(self.faces.reference(number), side) if self.work == "new" else None
        return decoded(self.faces.picture(number), side), reference

    def infer(self, read: Sequence[tuple[Pixels, Pixels | None]], known: Features | None) -> list[Pixels]:
        features = [known if reference is None else self.graphs.features(reference) for _, reference in read]
        return self.graphs.restore([picture for picture, _ in read], features)

    def known(self) -> Features | None:
        if self.work != "known":
            return None
        return self.graphs.features(decoded(self.faces.reference(0), self.graphs.side))


def graphs(model: Path, provider: str, *, threads: int | None = None, spinning: bool = False) -> Graphs:
    """``threads`` None: one for every core that this process may use."""
    return Graphs(model, provider=provider, threads=threads or available_cpus(), spinning=spinning)


def serial(loop: Loop, count: int) -> list[float]:
    """Moments at which the pictures were done, one after another."""
    known, moments = loop.known(), []
    for number in range(count):
        encoded(loop.infer([loop.read(number)], known)[0])
        moments.append(time.perf_counter())
    return moments


def overlapped(loop: Loop, count: int, batch: int) -> list[float]:
    """The same with the next two batches being decoded and the last ones encoded meanwhile."""
    known = loop.known()
    moments: list[float] = []
    cores = available_cpus()
    ahead: deque[Future[tuple[Pixels, Pixels | None]]] = deque()
    behind: deque[Future[None]] = deque()
    numbers = iter(range(count))

    def finish(picture: Pixels) -> None:
        encoded(picture)
        moments.append(time.perf_counter())

    with ThreadPoolExecutor(cores) as pictures:
        while True:
            while len(ahead) < 3 * batch and (number := next(numbers, None)) is not None:
                ahead.append(pictures.submit(loop.read, number))
            if not ahead:
                break
            together = [ahead.popleft().result() for _ in range(min(batch, len(ahead)))]
            behind += [pictures.submit(finish, picture) for picture in loop.infer(together, known)]
            while len(behind) > 2 * batch:
                behind.popleft().result()
        for one in behind:
            one.result()
    return sorted(moments)


def side_by_side(loop: Loop, count: int) -> list[float]:
    """As many at the same time as there are cores, each from file to file; the graphs should have one thread."""
    known = loop.known()

    def whole(number: int) -> float:
        encoded(loop.infer([loop.read(number)], known)[0])
        return time.perf_counter()

    with ThreadPoolExecutor(available_cpus()) as threads:
        return sorted(threads.map(whole, range(count)))


def yardsticks(
    together: Loop, single: Loop, batches: Sequence[int]
) -> dict[str, Callable[[int], list[float]]]:
    """The loops that a server is held against, by name; the best of them counts.

    ``together``: graphs with all threads; ``single``: with one.
    """
    loops: dict[str, Callable[[int], list[float]]] = {
        f"batch {batch}": partial(overlapped, together, batch=batch) for batch in sorted(set(batches))
    }
    return loops | {SIDE_BY_SIDE: partial(side_by_side, single)}


def rate(moments: Sequence[float], edge: int) -> float:
    """Per second: the slope of the count over time, without the first and last ``edge``, where not all are at work.

    Results come batch by batch, so a count in a window of time would depend on where the window falls.
    """
    middle = np.sort(moments)[edge : len(moments) - edge]
    if len(middle) < 3:
        raise ValueError(f"{len(moments)} results are too few to measure a rate without {edge} at either end")
    return float(np.polyfit(middle, np.arange(len(middle)), 1)[0])


def how_many(run: Callable[[int], list[float]], seconds: float, least: int) -> int:
    """So many pictures that a run takes about ``seconds``; finds out by running a few, which warms up too."""
    began = time.perf_counter()
    took = run(least)[-1] - began
    return max(3 * least, round(seconds * least / took))


def add_model_options(made: argparse.ArgumentParser) -> None:
    made.add_argument("--model", type=Path, default=MODEL, help="folder of a model; default: the shipped one")
    made.add_argument("--provider", choices=("cpu", "cuda", "tensorrt"), default="cpu")
    add_option(made)


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--batch", type=int, nargs="+", default=[1, 8])
    made.add_argument("--work", nargs="+", choices=WORKS, default=list(WORKS))
    made.add_argument("--seconds", type=float, default=6.0, help="about so long for each of --rounds")
    made.add_argument("--rounds", type=int, default=2)
    add_model_options(made)
    options = made.parse_args()
    machine, files = this_machine(), faces(options)
    cv2.setNumThreads(1)  # pictures are small, and each has a thread already
    quiet, eager = (graphs(options.model, options.provider, spinning=spins) for spins in (False, True))
    single = graphs(options.model, options.provider, threads=1)
    rows = []
    for work in options.work:
        ways: dict[tuple[str, int, str], Callable[[int], list[float]]] = {}
        for spins, loaded in (("no", quiet), ("yes", eager)):
            loop = Loop(loaded, files, work)
            ways["serial", 1, spins] = partial(serial, loop)
            for batch in options.batch:
                ways["overlapped", batch, spins] = partial(overlapped, loop, batch=batch)
        ways[SIDE_BY_SIDE, 1, "no"] = partial(side_by_side, Loop(single, files, work))
        counts = {way: how_many(run, options.seconds, 2 * way[1]) for way, run in ways.items()}
        found: dict[tuple[str, int, str], list[float]] = {way: [] for way in ways}
        for _ in range(options.rounds):
            for way, run in ways.items():
                found[way].append(rate(run(counts[way]), way[1]))
        for way, rates in found.items():
            rows.append((work, *way, float(np.median(rates)), float(min(rates)), float(max(rates))))
    columns = ("reference", "loop", "batch", "spinning", "faces/s", "least", "most")
    publish(Report(command("bare", options, made), (Table("bare", columns, tuple(rows)),)), machine, options)


if __name__ == "__main__":
    main()
