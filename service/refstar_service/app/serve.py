"""`refstar serve`: gateway, worker and Redis on one machine, started and ended together."""

import asyncio
import contextlib
import logging
import os
import sys
import time
from asyncio.subprocess import PIPE, Process
from typing import TYPE_CHECKING

from refstar_service.settings import Settings

if TYPE_CHECKING:
    from refstar_service.redis.embedded import EmbeddedRedis

log = logging.getLogger("refstar")

WORKER_GRACE = 30.0  # seconds that the worker gets to finish what it holds
LOST_GRACE = 3.0  # seconds, once the embedded Redis is gone: nothing that it finishes could be recorded
RESTART_AFTER = (0.2, 1.0, 5.0)  # seconds before a worker that died is started again; the last one repeats
REFUSED = 78  # the worker's exit status when no model or no detector runs here: starting it again would change nothing


async def run_all(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, with an embedded Redis unless a URL is set.

    The worker is a process of its own: a picture that kills it does not take the gateway along, and it is started
    again. Raises RuntimeError when the worker refuses its models or its detector, or when the embedded Redis ends: then
    all has ended.
    """
    # First of all, before anything else is even imported: a worker takes longest until it is ready, and needs no Redis
    # before its models are loaded.
    worker = await _begin_worker(settings)
    with contextlib.ExitStack() as stack:
        try:
            embedded, url = _redis(settings, stack)
        except BaseException:
            worker.kill()
            await worker.wait()
            raise
        from refstar_service.app.processes import run_gateway

        stopping = asyncio.Event()
        keepers = [asyncio.create_task(_keep_worker(settings, worker, url, stopping, embedded))]
        if embedded is not None:
            keepers.append(asyncio.create_task(_watch_redis(embedded, stopping)))
        for keeper in keepers:  # whatever ended one: what it kept is gone, and nobody would see it
            keeper.add_done_callback(lambda _: stopping.set())
        try:
            await run_gateway(
                settings, url, started=lambda port: _print_address(settings, port), stopping=stopping
            )
        finally:
            stopping.set()
            await asyncio.gather(*keepers)


def _redis(settings: Settings, stack: contextlib.ExitStack) -> "tuple[EmbeddedRedis | None, str]":
    """The server that is embedded, if one is, and the URL of the one to use."""
    if settings.redis_url is not None:
        return None, settings.redis_url
    from refstar_service.redis.embedded import EmbeddedRedis

    memory = settings.embedded_redis_memory_mb
    embedded = stack.enter_context(EmbeddedRedis(settings.data_dir / "redis", maxmemory_mb=memory))
    return embedded, embedded.url


async def _begin_worker(settings: Settings) -> Process:
    """A worker that loads its models and is yet to be told where Redis is."""
    options = ("worker", "--parent", str(os.getpid()), "--redis-url-follows")
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "refstar_service.app.cli", *options),
        # The settings of this process may come from its command line, so they are handed on as a whole.
        env={**os.environ, **_export_settings(settings)},
        start_new_session=True,  # Ctrl-C goes to the parent, which ends the worker in order
        stdin=PIPE,
    )


def _send_redis_url(worker: Process, redis_url: str) -> None:
    assert worker.stdin is not None
    with contextlib.suppress(RuntimeError, OSError):  # it has ended, which is seen next
        worker.stdin.write(f"{redis_url}\n".encode())
        worker.stdin.close()


async def _keep_worker(
    settings: Settings,
    worker: Process | None,
    redis_url: str,
    stopping: asyncio.Event,
    embedded: "EmbeddedRedis | None",
) -> None:
    died = 0
    while not stopping.is_set():
        process = worker or await _begin_worker(settings)
        worker = None
        _send_redis_url(process, redis_url)
        began = time.monotonic()
        ended = asyncio.create_task(process.wait())
        stop = asyncio.create_task(stopping.wait())
        await asyncio.wait((ended, stop), return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if not ended.done():
            process.terminate()
            grace = WORKER_GRACE if embedded is None or embedded.running else LOST_GRACE
            await asyncio.wait((ended,), timeout=grace)
        if not ended.done():
            log.warning("the worker did not stop within %.0f s and was killed; its jobs are not lost", grace)
            process.kill()
        code = await ended
        if stopping.is_set():
            return
        if code == REFUSED:
            stopping.set()
            raise RuntimeError("the worker cannot run its models or its detector here; see its message above")
        died = died + 1 if time.monotonic() - began < 60 else 0
        pause = RESTART_AFTER[min(died, len(RESTART_AFTER) - 1)]
        log.error("the worker exited with status %d; starting another in %.1f s", code, pause)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), pause)


async def _watch_redis(embedded: "EmbeddedRedis", stopping: asyncio.Event) -> None:
    from refstar_service.redis.embedded import EmbeddedRedisError

    while not stopping.is_set():
        if not embedded.running:
            stopping.set()
            raise EmbeddedRedisError(
                f"the embedded redis-server has exited; its data is in {embedded.folder}. Start again to continue."
            )
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), 1)


def _export_settings(settings: Settings) -> dict[str, str]:
    """The settings that differ from their defaults, as variables."""
    chosen = settings.model_dump(mode="json", exclude_unset=True, exclude={"redis_url", "worker_name"})
    return {f"REFSTAR_{name.upper()}": str(value) for name, value in chosen.items() if value is not None}


def _print_address(settings: Settings, port: int) -> None:
    print(
        f"RefSTAR Serve: http://{settings.host}:{port}  (API reference: /docs, readiness: /readyz, stop: Ctrl-C)",
        flush=True,
    )
