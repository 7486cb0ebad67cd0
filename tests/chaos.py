"""Jobs, workers and a Redis under blows, and an account of what became of every job.

The account is read from the append-only file of Redis: whatever was written is there, in order, killed workers or not.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, TextIO, TypeVar

import numpy as np
from chaos_worker import POISON, SIDE
from pictures import file_of, pixels_of
from redis.asyncio import Redis
from redis.exceptions import RedisError
from redis_process import RedisProcess
from refstar_service.blobs import RedisBlobs
from refstar_service.faces.select import FaceMode
from refstar_service.jobs import JobQueue, JobStatus, Priority, RestoreRequest, StoredFile
from refstar_service.redis.client import connect
from refstar_service.restoration.knobs import Knobs

T = TypeVar("T")
LINES = ("high", "normal")
MAX_ATTEMPTS = 3


@dataclass(frozen=True)
class Plan:
    """How much of what; times in seconds. ``blows`` are signals to workers, spread over the jobs."""

    jobs: int
    workers: int = 4
    poison: int = 5
    cancels: int = 200
    blows: int = 30
    redis_kills: int = 1
    redis_away: float = 0.3
    stale_after: float = 2.0
    waiting_at_most: int = 1000  # jobs submitted ahead of the workers
    within: float = 120.0
    seed: int = 1


@dataclass
class Account:
    """What happened. ``faults`` is empty if every promise was kept."""

    seconds: float = 0.0
    statuses: Counter[str] = field(default_factory=Counter)
    attempts: Counter[int] = field(default_factory=Counter)
    blows: Counter[str] = field(default_factory=Counter)
    poison_deaths: int = 0
    faults: list[str] = field(default_factory=list)


async def run(plan: Plan, folder: Path) -> Account:
    """Raises TimeoutError if not all jobs have ended ``within``."""
    with RedisProcess(folder / "redis", "--auto-aof-rewrite-percentage", "0") as server:
        redis = connect(server.url)
        queue = JobQueue(redis, limit=plan.jobs + 1, job_ttl=3600, result_ttl=600)
        log = (folder / "workers.log").open("w")
        storm = _Storm(plan, server, redis, queue, log)
        began = time.monotonic()
        try:
            async with asyncio.timeout(plan.within):
                await storm.pass_over()
            storm.account.seconds = time.monotonic() - began
            await storm.look_around()
        finally:
            await storm.end()
            log.close()
            await queue.aclose()
            await redis.aclose()
    storm.read_outcomes(folder / "redis")
    return storm.account


class _Storm:
    def __init__(self, plan: Plan, server: RedisProcess, redis: Redis, queue: JobQueue, log: TextIO) -> None:
        self.plan, self.server, self.redis, self.queue, self.log = plan, server, redis, queue, log
        self.canceling: set[asyncio.Future[object]] = set()
        self.account = Account()
        self.chance = random.Random(plan.seed)
        self.names = [f"job-{number}" for number in range(plan.jobs)]
        chosen = self.chance.sample(range(plan.jobs), plan.poison + plan.cancels)
        self.poison = {self.names[number] for number in chosen[: plan.poison]}
        self.to_cancel = set(chosen[plan.poison :])
        self.submitted = 0
        self.workers: dict[str, int] = {}  # process ids
        self.spawned = 0
        self.zygote: asyncio.subprocess.Process | None = None
        # By how many jobs have ended, not by the clock: a slow machine is not beaten more.
        self.blows = sorted(self.chance.uniform(0.01, 0.98) for _ in range(plan.blows))
        self.kills = sorted(self.chance.uniform(0.3, 0.7) for _ in range(plan.redis_kills))
        # One in three lets the worker end in order; in turn, so that every run has of both.
        self.signals = itertools.cycle((signal.SIGKILL, signal.SIGTERM, signal.SIGKILL))
        self.signal = next(self.signals)

    async def pass_over(self) -> None:
        self.zygote = await asyncio.create_subprocess_exec(
            *(sys.executable, str(Path(__file__).with_name("chaos_worker.py"))),
            *(self.server.url, str(self.plan.stale_after)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=self.log,
        )
        submitting = asyncio.create_task(self._submit_all())
        try:
            await self._weather(submitting)
            await submitting
        finally:
            submitting.cancel()

    async def _weather(self, submitting: asyncio.Task[None]) -> None:
        while (left := await self._left()) or not submitting.done():
            await self._replace_the_fallen()
            ended = (self.submitted - left) / self.plan.jobs
            if self.blows and ended >= self.blows[0] and await self._blow():
                self.blows.pop(0)
            if self.kills and ended >= self.kills[0]:
                self.kills.pop(0)
                await self._kill_redis()
            await asyncio.sleep(0.02)

    # What is done to them.

    async def _submit_all(self) -> None:
        """As gateways do: in parallel, again after an error, and not more than are admitted."""
        numbers = iter(range(self.plan.jobs))
        await asyncio.gather(*(self._submit(numbers) for _ in range(16)))

    async def _submit(self, numbers: Iterator[int]) -> None:
        blobs = RedisBlobs(self.redis)
        for number in numbers:
            if self.submitted % 64 == 0:
                while await self._left() > self.plan.waiting_at_most:  # noqa: ASYNC110  there is nothing to wait for
                    await asyncio.sleep(0.05)
            name, data = self.names[number], self._picture(number)
            file = StoredFile(
                f"{name}/image", hashlib.sha256(data).hexdigest(), "image/png", len(data), "a.png"
            )
            request = RestoreRequest(file, (), "refstar", Knobs(FaceMode.ALIGNED))
            priority = Priority.HIGH if number % 3 == 0 else Priority.NORMAL
            await self._surely(lambda f=file, d=data: blobs.put(f.key, d, 3600))  # type: ignore[misc]
            await self._surely(lambda n=name, r=request, p=priority: self.queue.submit(n, r, priority=p))  # type: ignore[misc]
            self.submitted += 1
            # Somewhere between "just accepted" and "long done".
            if number in self.to_cancel:
                asyncio.get_running_loop().call_later(self.chance.uniform(0, 3), self._cancel, name)

    def _cancel(self, name: str) -> None:
        self.canceling.add(asyncio.ensure_future(self._surely(lambda: self.queue.cancel(name))))

    async def _surely(self, act: Callable[[], Awaitable[T]]) -> T:
        while True:
            try:
                return await act()
            except (RedisError, OSError):
                await asyncio.sleep(0.05)

    def _picture(self, number: int) -> bytes:
        color = _color(number, poison=self.names[number] in self.poison)
        return file_of(np.full((SIDE, SIDE, 3), color, np.uint8))

    async def _blow(self) -> bool:
        """Whether somebody was hit."""
        name = self.chance.choice(list(self.workers))
        number, pid = self.signal, self.workers[name]
        try:
            # A job that three random kills hit is given up like a poisonous one, and rightly so: it cannot be told
            # from one. So that the account can, nobody is killed who holds a job in its last attempt.
            os.kill(pid, signal.SIGSTOP)
            spared = number is signal.SIGKILL and await self._holds_last_attempt(name)
            if not spared:
                os.kill(pid, number)
                self.account.blows[number.name] += 1
                self.signal = next(self.signals)
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            return False
        return not spared

    async def _holds_last_attempt(self, worker: str) -> bool:
        try:
            for line in LINES:
                key = f"{{refstar}}:queue:{line}"
                for held in await self.redis.xpending_range(
                    key, "workers", "-", "+", 64, consumername=worker
                ):
                    [(_, fields)] = await self.redis.xrange(key, held["message_id"], held["message_id"]) or [
                        (None, {})
                    ]
                    attempts = await self.redis.hget(
                        f"{{refstar}}:job:{fields.get(b'job', b'').decode()}", "attempts"
                    )
                    if int(attempts or 0) >= MAX_ATTEMPTS:
                        return True
        except RedisError:
            return True
        return False

    async def _kill_redis(self) -> None:
        self.server.kill()
        self.account.blows["redis SIGKILL"] += 1
        await asyncio.sleep(self.plan.redis_away)
        await asyncio.to_thread(self.server.start)

    async def _replace_the_fallen(self) -> None:
        for name, pid in list(self.workers.items()):
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                del self.workers[name]
        assert self.zygote is not None
        assert self.zygote.stdin is not None
        assert self.zygote.stdout is not None
        while len(self.workers) < self.plan.workers:
            self.spawned += 1
            self.zygote.stdin.write(f"worker-{self.spawned}\n".encode())
            name, pid = (await self.zygote.stdout.readline()).split()
            self.workers[name.decode()] = int(pid)

    async def _left(self) -> int:
        return sum((await self._surely(self.queue.depth)).values())

    # What became of them.

    async def look_around(self) -> None:
        """The state of Redis once nothing is left to do."""
        faults = self.account.faults
        await asyncio.gather(*self.canceling)
        for line in LINES:
            key = f"{{refstar}}:queue:{line}"
            if await self.redis.xlen(key) or (await self.redis.xpending(key, "workers"))["pending"]:
                faults.append(f"the {line} line is not empty")
        blobs = RedisBlobs(self.redis)
        for number, name in enumerate(self.names):
            job = await self.queue.get(name)
            if job is None or not job.status.terminal:
                faults.append(f"{name} is {job.status if job else 'gone'}")
                continue
            self.account.statuses[job.status] += 1
            self.account.attempts[job.attempts] += 1
            code = job.failure.code if job.failure else None
            if name in self.poison:
                self.account.poison_deaths += job.attempts
                expected = (JobStatus.FAILED, "worker-lost")
                if (job.status, code) != expected or job.attempts != MAX_ATTEMPTS:
                    faults.append(f"{name} is poison and ended {job.status} {code} after {job.attempts}")
            elif job.status is JobStatus.CANCELED:
                if number not in self.to_cancel:
                    faults.append(f"{name} was canceled by nobody")
            elif job.status is not JobStatus.SUCCEEDED or job.result is None:
                faults.append(f"{name} ended {job.status} {code} after {job.attempts} attempts")
            else:
                data = await blobs.get(job.result.image.key)
                if data is None:
                    faults.append(f"{name} has no result")
                elif (pixels_of(data) != 255 - np.array(_color(number, poison=False))).any():
                    faults.append(f"{name} has somebody else's result")

    def read_outcomes(self, folder: Path) -> None:
        """Each job's outcomes as they were written."""
        terminal = {status.value.encode() for status in JobStatus if status.terminal}
        written: Counter[str] = Counter()
        for command in _commands(folder):
            if command[0].upper() in (b"HSET", b"HMSET") and b":job:" in command[1]:
                fields = dict(zip(command[2::2], command[3::2], strict=False))
                if fields.get(b"status") in terminal:
                    written[command[1].decode().rsplit(":", 1)[1]] += 1
        for name in self.names:
            if written[name] != 1:
                self.account.faults.append(f"{name} has {written[name]} recorded outcomes")

    async def end(self) -> None:
        if self.zygote is not None and self.zygote.stdin is not None:
            self.zygote.stdin.close()
            for pid in self.workers.values():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            await self.zygote.wait()


def _color(number: int, *, poison: bool) -> tuple[int, int, int]:
    """A color of its own for each of 250 * 250 * 250 jobs."""
    return number % 250, number // 250 % 250, POISON if poison else number // 62_500 % 250


def _commands(folder: Path) -> Iterator[list[bytes]]:
    """The commands of an append-only file, as Redis 6 (one file) and 7 (a folder of them) write it."""
    paths = [
        folder / "appendonly.aof",
        *sorted(folder.glob("appendonlydir/*.incr.aof")),
    ]
    for path in paths:
        if path.exists():
            with path.open("rb") as file:
                while command := _command(file):
                    yield command


def _command(file: BinaryIO) -> list[bytes]:
    head = file.readline()
    if not head.endswith(b"\n"):
        return []
    parts = []
    for _ in range(int(head[1:])):
        length = int(file.readline()[1:])
        parts.append(file.read(length))
        file.read(2)
    return parts
