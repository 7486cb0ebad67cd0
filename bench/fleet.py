"""How many workers and jobs one Redis carries: simulated workers with the real queue and its Lua, and no pictures.

.venv/bin/python bench/fleet.py
.venv/bin/python bench/fleet.py --workers 1000 --rate 10000 --seconds 30

A worker reserves, starts, waits as long as a restoration takes, and finishes; it beats and announces itself as a real
one does. Submissions come at a rate, or as fast as they are taken. The simulation has the same cores as Redis: look at
the processor time of Redis. The last column is what one core of it would carry.
"""

import argparse
import asyncio
import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field
from multiprocessing.synchronize import Barrier
from pathlib import Path
from uuid import uuid4

import numpy as np
from job_queue import a_request, an_outcome
from redis import Redis
from refstar_service.app import event_loop as loop
from refstar_service.jobs import Attempt, JobQueue, WorkerInfo
from refstar_service.redis.client import connect
from refstar_service.redis.embedded import EmbeddedRedis
from refstar_service.worker.pipeline import IDLE
from report import Cell, Report, Table, command, parser, publish, this_machine

WORKERS_A_CLIENT = 100  # each blocks on a connection of its own; a client has 128
BEAT = 5.0  # seconds, as stale_after says
AT_ONCE = 32  # submissions under way, of each process
LIMIT = 1_000_000  # jobs
WAITING = 4  # batches for each worker of a process that are in the queue at most
LOOK_EVERY = 0.02  # seconds in which a process looks how many are


@dataclass(frozen=True)
class Load:
    """What each process does. `rate`: submissions per second, 0: as many as are taken, below 0: none."""

    url: str
    workers: int
    rate: float
    seconds: float
    batch: int
    restoration: float


@dataclass
class Account:
    submitted: int = 0
    finished: int = 0
    waits: list[float] = field(default_factory=list)
    cpu: float = 0.0


def new_id() -> str:
    """Begins with the microsecond of its submission, so that whoever starts it knows how long it waited."""
    return f"{time.time_ns() // 1000:016x}{uuid4().hex[:16]}"


async def work(queue: JobQueue, load: Load, stop: asyncio.Event, account: Account) -> None:
    outcome, held = an_outcome(), list[Attempt]()

    async def beat() -> None:
        info = WorkerInfo(queue.worker, ("refstar",), "cpu", time.time())
        while True:
            await queue.announce_worker(info, 3 * BEAT)
            await queue.heartbeat(tuple(held))
            await asyncio.sleep(BEAT)

    beating = asyncio.create_task(beat())
    while not stop.is_set():
        started = await queue.start(
            await queue.reserve(load.batch, block=IDLE, models=("refstar",), others=())
        )
        now = time.time()
        held[:] = [one for one in started if one is not None]
        account.waits += [now - int(one.job_id[:16], 16) / 1e6 for one in held]
        if held:
            await asyncio.sleep(load.restoration * len(held))
            kept = await queue.finish([(one, outcome) for one in held])
            account.finished += sum(kept)  # not in one line with the await: others add to it meanwhile
            held.clear()
    beating.cancel()


async def submit(queue: JobQueue, load: Load, stop: asyncio.Event, account: Account) -> None:
    request, began = a_request(), time.perf_counter()

    def due() -> Iterator[float]:
        number = 0
        while True:
            yield began + number / load.rate if load.rate else 0.0
            number += 1

    moments, room = due(), asyncio.Event()

    async def look() -> None:
        """As gateways that refuse what is too much: else workers would wait for those who only submit."""
        while not stop.is_set():
            waiting = sum((await queue.depth()).values())
            (room.clear if waiting > WAITING * load.workers * load.batch else room.set)()
            await asyncio.sleep(LOOK_EVERY)
        room.set()

    async def client() -> None:
        while not stop.is_set():
            await asyncio.sleep(max(0.0, next(moments) - time.perf_counter()))
            await room.wait()
            await queue.submit(new_id(), request)
            account.submitted += 1

    await asyncio.gather(look(), *(client() for _ in range(AT_ONCE)))


async def simulate(load: Load, ready: Barrier) -> Account:
    account, stop = Account(), asyncio.Event()
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(aclosing(connect(load.url)))
            for _ in range(2 + load.workers // WORKERS_A_CLIENT)
        ]
        queues = [
            await stack.enter_async_context(
                aclosing(JobQueue(clients[1 + n // WORKERS_A_CLIENT], limit=LIMIT, worker=uuid4().hex))
            )
            for n in range(load.workers)
        ]
        source = await stack.enter_async_context(aclosing(JobQueue(clients[0], limit=LIMIT)))
        await source.setup()
        tasks = [asyncio.create_task(work(queue, load, stop, account)) for queue in queues]
        await asyncio.sleep(1.0)  # all wait for work
        await asyncio.to_thread(ready.wait)
        began = time.process_time()
        if load.rate >= 0:
            tasks.append(asyncio.create_task(submit(source, load, stop, account)))
        await asyncio.sleep(load.seconds)
        account.cpu = time.process_time() - began
        done = (account.submitted, account.finished, list(account.waits))
        await asyncio.to_thread(ready.wait)
        stop.set()
        await asyncio.gather(*tasks)
        account.submitted, account.finished, account.waits = done
    return account


def run(load: Load, ready: Barrier, results: "multiprocessing.SimpleQueue[Account]") -> None:
    results.put(loop.run(simulate(load, ready)))


def measure(folder: Path, options: argparse.Namespace, workers: int, rate: float) -> dict[str, float]:
    """Figures of one round, of a Redis of its own."""
    context = multiprocessing.get_context("spawn")
    count = options.processes
    with EmbeddedRedis(folder, maxmemory_mb=4096) as server:
        redis = Redis.from_url(server.url)
        ready, results = context.Barrier(count + 1), context.SimpleQueue()
        each = max(1, workers // count)
        load = Load(server.url, each, rate / count, options.seconds, options.batch, options.restoration)
        processes = [context.Process(target=run, args=(load, ready, results)) for _ in range(count)]
        for process in processes:
            process.start()
        ready.wait()
        before = redis.info()
        began = time.perf_counter()
        ready.wait()
        took, after = time.perf_counter() - began, redis.info()
        accounts = [results.get() for _ in processes]
        for process in processes:
            process.join()
        redis.close()
    finished = sum(account.finished for account in accounts)
    waits = np.array([wait for account in accounts for wait in account.waits] or [np.nan])
    cpu = sum(after[f"used_cpu_{mode}"] - before[f"used_cpu_{mode}"] for mode in ("user", "sys"))
    sent = sum(
        after[f"total_net_{way}_bytes"] - before[f"total_net_{way}_bytes"] for way in ("input", "output")
    )
    return {
        "submitted": sum(account.submitted for account in accounts) / took,
        "finished": finished / took,
        "p50": float(np.quantile(waits, 0.5)) * 1000,
        "p99": float(np.quantile(waits, 0.99)) * 1000,
        "redis": cpu / took,
        "simulation": sum(account.cpu for account in accounts) / took,
        "calls": (after["total_commands_processed"] - before["total_commands_processed"]) / finished
        if finished
        else float("nan"),
        "each": cpu / finished * 1e6 if finished else float("nan"),
        "memory": (after["used_memory"] - before["used_memory"]) / finished if finished else float("nan"),
        "network": sent / finished if finished else float("nan"),
        "carried": finished / cpu if finished else float("nan"),
    }


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--workers", type=int, nargs="+", default=[10, 100, 1000])
    made.add_argument(
        "--rate",
        type=float,
        nargs="+",
        default=[-1, 50, 0],
        help="jobs per second; 0: all it takes, -1: none",
    )
    made.add_argument("--seconds", type=float, default=10.0)
    made.add_argument("--batch", type=int, default=8)
    made.add_argument("--restoration", type=float, default=0.01, help="seconds for each job of a batch")
    made.add_argument("--processes", type=int, default=os.cpu_count())
    options = made.parse_args()
    machine = this_machine()
    rows: list[tuple[Cell, ...]] = []
    with tempfile.TemporaryDirectory() as folder:
        for workers in options.workers:
            for rate in options.rate:
                figures = measure(Path(folder) / f"{workers}-{rate}", options, workers, rate)
                asked = {0: "all", -1: "none"}.get(rate, rate)
                rows.append((workers, asked, *figures.values()))
    columns = (
        "workers",
        "jobs/s asked",
        "submitted, 1/s",
        "finished, 1/s",
        "wait p50, ms",
        "wait p99, ms",
        "cores of Redis",
        "cores of the simulation",
        "commands a job",
        "Redis, µs a job",
        "memory, bytes a job",
        "network, bytes a job",
        "one core of Redis carries, 1/s",
    )
    publish(
        Report(command("fleet", options, made), (Table("fleet", columns, tuple(rows)),)), machine, options
    )


if __name__ == "__main__":
    main()
