"""Other servers with the same model on this machine, beside this service and the bare loop.

.venv/bin/python bench/peers.py
.venv/bin/python bench/peers.py --only service plain litserve --environments ~/peers   # keeps what it installs

Each peer is installed from PyPI into an environment of its own, which is thrown away; one that does not install or
start is named with the reason. All get the same uploads (an aligned face as JPEG, no reference), decode, run the same
ONNX graphs through the same version of onnxruntime with the same threads, and answer with JPEG. A peer answers the
request with the picture; this service stores the job first, then the result, and is asked for it in a second request.
"""

import argparse
import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np
from bare import MODEL, Loop, graphs, how_many, overlapped, rate, serial
from client import Connection, form, restore
from noop import write_noop_model
from peer_servers.graphs import encoded
from refstar_service.engine.session import available_cpus
from refstar_service.settings import Settings
from report import Cell, Report, Table, command, parser, publish, this_machine
from samples import Faces, add_option, faces
from stack import family, free_port, service

SERVERS = Path(__file__).parent / "peer_servers"
READY_WITHIN, INSTALLED_WITHIN, GONE_WITHIN = 120.0, 900.0, 20.0  # seconds
AT_ONCE = 32

#: One upload from the first byte sent to the picture in hand.
Ask = Callable[[Connection, bytes], Coroutine[None, None, None]]


@dataclass(frozen=True)
class Peer:
    """``package``: whose version is shown; ``start``: arguments for the interpreter of its environment."""

    name: str
    package: str
    start: tuple[str, ...]


PEERS = (
    Peer("plain", "fastapi", ("plain_server.py",)),
    Peer("litserve", "litserve", ("litserve_server.py",)),
    Peer("bentoml", "bentoml", ("-m", "bentoml", "serve", "bentoml_server:Restore", "--host", "127.0.0.1")),
    Peer("ray", "ray", ("ray_server.py",)),
)
TITLES = {"plain": "FastAPI + onnxruntime", "litserve": "LitServe", "bentoml": "BentoML", "ray": "Ray Serve"}


@dataclass(frozen=True)
class Figures:
    """Of one server in one round."""

    throughput: float  # pictures per second
    latency: float  # seconds, median of one at a time
    mib: float  # of all its processes; what they share counts once
    start: float  # seconds


class NotThere(Exception):  # noqa: N818
    """A peer that did not install or start; the message says why."""


def install(peer: Peer, environments: Path) -> tuple[Path, str]:
    """The interpreter of the peer's environment, and the peer's version. Raises NotThere."""
    folder = environments / peer.name
    python = folder / "bin" / "python"
    ours = [f"{name}=={version(name)}" for name in ("onnxruntime", "numpy", "opencv-python-headless")]
    wanted = ["-r", str(SERVERS / f"{peer.name}.txt"), *ours]
    if not python.exists():
        _run([sys.executable, "-m", "venv", str(folder)], "make an environment")
    _run([str(python), "-m", "pip", "install", "--quiet", *wanted], "install")
    shown = f"from importlib.metadata import version; print(version({peer.package!r}))"
    return python, _run([str(python), "-c", shown], "ask its version").strip()


def _run(arguments: list[str], what: str) -> str:
    try:
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=INSTALLED_WITHIN)
    except subprocess.TimeoutExpired:
        raise NotThere(f"{what}: not within {INSTALLED_WITHIN:.0f} s") from None
    if done.returncode:
        raise NotThere(f"{what}: {_last_line(done.stderr)}")
    return done.stdout


def _last_line(text: str) -> str:
    lines = text.strip().splitlines() or ["no message"]
    return lines[-1].replace("|", "/")[:160]


@contextmanager
def peer_running(
    peer: Peer, python: Path, model: Path, batch: int, body: bytes
) -> Iterator[tuple[int, int, float]]:
    """Its port, its process and the seconds until it gave its first answer. Raises NotThere."""
    port = free_port()
    # Nothing of ours but this: no PYTHONPATH beside its own folder, no statistics sent home.
    environment = os.environ | {
        **{"MODEL": str(model), "PORT": str(port), "THREADS": str(available_cpus()), "BATCH": str(batch)},
        **{"PYTHONPATH": str(SERVERS), "PYTHONDONTWRITEBYTECODE": "1"},
        **{"RAY_USAGE_STATS_ENABLED": "0", "BENTOML_DO_NOT_TRACK": "True", "ORT_DISABLE_TELEMETRY": "1"},
    }
    more = ("--port", str(port)) if peer.name == "bentoml" else ()
    began = time.perf_counter()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [str(python), *peer.start, *more],
            cwd=SERVERS,
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            while not _answers(port, body):
                if process.poll() is not None or time.perf_counter() - began > READY_WITHIN:
                    log.seek(0)
                    raise NotThere(f"start: {_last_line(log.read().decode(errors='replace'))}")
                time.sleep(0.1)
            yield port, process.pid, time.perf_counter() - began
        finally:
            _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """The server and all that it has started: some leave children behind."""
    everyone = family(process.pid)
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(GONE_WITHIN)
    for pid in everyone:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()


def _answers(port: int, body: bytes) -> bool:
    async def once() -> bool:
        connection = Connection("127.0.0.1", port)
        try:
            return (await asyncio.wait_for(connection.post("/restore", body), 30)).status == 200
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            return False
        finally:
            connection.close()

    return asyncio.run(once())


async def ask_peer(connection: Connection, body: bytes) -> None:
    answer = await connection.post("/restore", body)
    if answer.status != 200:
        raise RuntimeError(f"answered {answer.status}: {answer.body[:300]!r}")


async def ask_service(connection: Connection, body: bytes) -> None:
    await restore(connection, body)


def measure(
    ask: Ask, port: int, files: Faces, count: int, times: int, fields: dict[str, str]
) -> tuple[float, float]:
    """Pictures per second with many at once, and the median seconds of one at a time."""
    moments: list[float] = []
    seconds: list[float] = []
    numbers = iter(range(10**9))

    async def client(many: Iterator[int]) -> None:
        connection = Connection("127.0.0.1", port)
        for _ in many:
            body = form(fields, [("image", files.picture(next(numbers)))])
            began = time.perf_counter()
            await ask(connection, body)
            moments.append(time.perf_counter())
            seconds.append(moments[-1] - began)
        connection.close()

    async def all_clients() -> None:
        left = iter(range(count))
        await asyncio.gather(*(client(left) for _ in range(AT_ONCE)))

    asyncio.run(client(iter(range(5 + times))))
    one_at_a_time = float(np.median(seconds[5:]))
    moments.clear()
    asyncio.run(all_clients())
    return rate(moments, min(16, count // 6)), one_at_a_time


def memory(pid: int) -> float:
    """MiB of the process and all that it started."""
    total = 0
    for one in family(pid):
        with suppress(OSError):
            lines = Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()
            total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


def round_of(name: str, model: Path, count: int, python: Path | None, options: argparse.Namespace) -> Figures:
    """One server, started and ended. ``count``: pictures with many at once."""
    files = faces(options)
    if python is None:
        began, fields = time.perf_counter(), {"faces": "aligned", "model": model.name}
        with service({"MODELS_DIR": str(model.parent), "RESULT_TTL": "5", "EXPIRED_TTL": "5"}) as running:
            start = time.perf_counter() - began
            figures = measure(ask_service, running.port, files, count, options.times, fields)
            return Figures(*figures, memory(running.processes["gateway"]), start)
    peer = next(peer for peer in PEERS if peer.name == name)
    body = form({}, [("image", files.picture(0))])
    with peer_running(peer, python, model, Settings().max_batch, body) as (port, pid, start):
        figures = measure(ask_peer, port, files, count, options.times, {})
        return Figures(*figures, memory(pid), start)


def bare_round(loop: Loop, count: int, times: int) -> Figures:
    """The yardstick in the same minutes: the better of two batches, and one after another."""
    fast = max(
        rate(overlapped(loop, max(count, 6 * batch), batch), batch) for batch in (1, Settings().max_batch)
    )
    seconds = []
    for number in range(times):
        began = time.perf_counter()
        encoded(loop.infer([loop.read(number)], None)[0])
        seconds.append(time.perf_counter() - began)
    return Figures(fast, float(np.median(seconds)), 0.0, 0.0)


def main() -> None:
    made = parser(__doc__)
    names = ["service", *(peer.name for peer in PEERS)]
    made.add_argument("--only", nargs="+", choices=names, default=names)
    made.add_argument("--rounds", type=int, default=2)
    made.add_argument(
        "--seconds", type=float, default=15.0, help="about so long at saturation, by the bare loop"
    )
    made.add_argument("--times", type=int, default=30, help="requests one at a time")
    made.add_argument("--environments", type=Path, help="where peers are installed; default: thrown away")
    made.add_argument("--model", type=Path, default=MODEL, help="folder of a model; default: the shipped one")
    add_option(made)
    options = made.parse_args()
    machine = this_machine()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pythons: dict[str, Path | None] = {"service": None}
        versions = {"service": f"refstar-service {version('refstar-service')}"}
        missing: dict[str, str] = {}
        for peer in (peer for peer in PEERS if peer.name in options.only):
            try:
                pythons[peer.name], found = install(peer, options.environments or folder / "environments")
                versions[peer.name] = f"{TITLES[peer.name]} {found}"
            except NotThere as reason:
                missing[peer.name] = str(reason)
        models = {
            "no-op": write_noop_model(folder / "models", Settings().models_dir / "detector"),
            "shipped": options.model,
        }
        seen: dict[str, dict[str, list[Figures]]] = {called: {} for called in models}
        for called, model in models.items():
            loop = Loop(graphs(model, "cpu"), faces(options), "none")
            count = max(48, how_many(partial(serial, loop), options.seconds, 3))
            for _ in range(options.rounds):
                seen[called].setdefault("bare", []).append(bare_round(loop, count, options.times))
                for one in options.only:
                    if one in missing:
                        continue
                    try:
                        figures = round_of(one, model, count, pythons[one], options)
                    except (NotThere, RuntimeError, OSError, asyncio.IncompleteReadError) as reason:
                        missing[one] = str(reason) or type(reason).__name__
                        continue
                    seen[called].setdefault(one, []).append(figures)
                    print(f"{called}: {one} {figures}", flush=True)
    rows: list[tuple[Cell, ...]] = [
        _row(title, one, seen)
        for one, title in ({"bare": "bare loop"} | versions).items()
        if one in seen["shipped"] and one not in missing
    ]
    rows += [(TITLES.get(one, one), f"skipped: {reason}", *[None] * 6) for one, reason in missing.items()]
    columns = (
        *("server", "no-op, 1/s", "no-op, one at a time, ms", "shipped, 1/s", "share of the bare loop"),
        *("shipped, one at a time, ms", "memory, MiB", "start, s"),
    )
    raw = {
        called: {one: [asdict(f) for f in all_] for one, all_ in by.items()} for called, by in seen.items()
    }
    publish(
        Report(command("peers", options, made), (Table("peers", columns, tuple(rows)),), raw),
        machine,
        options,
    )


def _row(title: str, one: str, seen: dict[str, dict[str, list[Figures]]]) -> tuple[Cell, ...]:
    def median(model: str, of: str) -> float:
        return float(np.median([getattr(figures, of) for figures in seen[model][one]]))

    pairs = zip(seen["shipped"][one], seen["shipped"]["bare"], strict=False)
    return (
        title,
        median("no-op", "throughput"),
        1000 * median("no-op", "latency"),
        median("shipped", "throughput"),
        float(np.median([own.throughput / bare.throughput for own, bare in pairs])),
        1000 * median("shipped", "latency"),
        median("shipped", "mib") or None,
        median("shipped", "start") or None,
    )


if __name__ == "__main__":
    main()
