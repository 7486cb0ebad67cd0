"""The long-lived processes, put together from settings: gateway, worker, and both with a Redis of their own."""

import asyncio
import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

from redis.asyncio import Redis

from refstar_service.blobs import BlobStore, DirectoryBlobs, RedisBlobs
from refstar_service.engine.manifest import ModelManifest, ModelRefused, load_manifests
from refstar_service.gateway.app import create_app
from refstar_service.gateway.server import GatewayServer
from refstar_service.images import ImageLimits
from refstar_service.jobs import JobQueue, WorkerInfo
from refstar_service.jobs.embedded import EmbeddedRedis
from refstar_service.metrics import WorkerMetrics, new_registry
from refstar_service.settings import Settings, unrecognized

if TYPE_CHECKING:
    from refstar_service.worker.pipeline import Model

log = logging.getLogger("refstar")

REDIS_TIMEOUT = 10.0  # seconds for one command; blocking reads end after 2
WORKER_GRACE = 30.0  # seconds that `refstar serve` gives its worker to finish what it holds
RESTART_AFTER = (0.2, 1.0, 5.0)  # seconds before a worker that died is started again; the last one repeats
SWEEP_EVERY = 60.0  # seconds between clean-ups of directory blobs


@asynccontextmanager
async def _connected(settings: Settings, redis_url: str) -> AsyncIterator[tuple[JobQueue, BlobStore]]:
    """The queue and the blob store of these settings; a directory store is swept while they are in use."""
    redis = Redis.from_url(redis_url, socket_timeout=REDIS_TIMEOUT, socket_connect_timeout=REDIS_TIMEOUT)
    queue = JobQueue(
        redis,
        limit=settings.queue_limit,
        max_attempts=settings.max_attempts,
        job_ttl=settings.job_ttl,
        result_ttl=settings.result_ttl,
        stale_after=settings.stale_after,
        worker=settings.worker_name,
    )
    blobs: BlobStore = RedisBlobs(redis)
    sweeper = None
    if settings.blobs == "directory":
        blobs = directory = DirectoryBlobs(settings.blob_folder)
        sweeper = asyncio.create_task(_sweep(directory))
    try:
        yield queue, blobs
    finally:
        if sweeper is not None:
            sweeper.cancel()
        await queue.aclose()
        await redis.aclose()


async def _sweep(blobs: DirectoryBlobs) -> None:
    while True:
        try:
            await blobs.sweep()
        except OSError as error:
            log.warning("expired blobs stay for now: %s", error)
        await asyncio.sleep(SWEEP_EVERY)


async def run_gateway(
    settings: Settings, redis_url: str, started: Callable[[int], None] | None = None
) -> None:
    """Serve until SIGTERM or SIGINT. ``started`` is called with the port once it listens."""
    async with _connected(settings, redis_url) as (queue, blobs):
        server = GatewayServer(
            create_app(settings, queue=queue, blobs=blobs, models=_models(settings)),
            settings,
            handle_signals=False,
        )
        with _signals(server.stop):
            serving = asyncio.create_task(server.serve())
            ready = asyncio.create_task(server.ready.wait())
            await asyncio.wait((serving, ready), return_when=asyncio.FIRST_COMPLETED)
            ready.cancel()
            if server.ready.is_set():
                log.info("gateway listens on http://%s:%d", settings.host, server.port)
                if started is not None:
                    started(server.port)
            await serving


async def run_worker(settings: Settings, redis_url: str, parent: int | None = None) -> None:
    """Restore until SIGTERM or SIGINT, or until the process ``parent`` is gone."""
    # onnxruntime is imported here, so that a gateway can be installed without it.
    from refstar_service.engine.session import available_cpus
    from refstar_service.worker import health
    from refstar_service.worker.files import JobFiles
    from refstar_service.worker.pipeline import Worker

    registry = new_registry()
    metrics = WorkerMetrics.on(registry)
    pulse = health.Pulse()
    stop_health = None
    if settings.worker_metrics_port is not None:
        host, port = settings.worker_metrics_host, settings.worker_metrics_port
        port, stop_health = health.serve(host, port, registry, pulse)
        log.info("worker metrics on http://%s:%d/metrics", host, port)
    stopping = asyncio.Event()
    with _signals(stopping.set):
        watch = asyncio.create_task(_watch(pulse.beat, parent, stopping))
        try:
            # In a thread, so that signals and the liveness probe are answered while models load.
            models = await asyncio.to_thread(_load, settings, metrics)
            async with _connected(settings, redis_url) as (queue, blobs):
                worker = Worker(
                    queue,
                    JobFiles(blobs, settings.result_ttl),
                    models,
                    WorkerInfo(settings.worker_name, tuple(models), settings.provider, time.time()),
                    metrics=metrics,
                    limits=image_limits(settings),
                    max_batch=settings.max_batch,
                    picture_threads=available_cpus(),
                )
                await worker.run(stopping)
        finally:
            watch.cancel()
            if stop_health is not None:
                stop_health()
    log.info("worker ended")


def _load(settings: Settings, metrics: WorkerMetrics) -> "dict[str, Model]":
    """All models on their provider, warmed up. Raises ModelRefused or ProviderUnavailable."""
    from refstar_service.engine.restorer import Restorer
    from refstar_service.engine.session import Provider
    from refstar_service.worker.pipeline import Model

    began = time.monotonic()
    provider = Provider(settings.provider)
    models = {}
    for name, manifest in _models(settings).items():
        restorer = Restorer(
            manifest,
            provider,
            threads=settings.threads,
            max_batch=settings.max_batch,
            cache_bytes=settings.feature_cache_bytes,
            engine_cache=settings.data_dir / "engines" if provider is Provider.TENSORRT else None,
        )
        restorer.warm_up()
        models[name] = Model(restorer, manifest.input_size)
        metrics.model_info.labels(name, manifest.version, manifest.precision, provider).set(1)
    log.info("loaded %s on %s in %.1f s", ", ".join(models), provider, time.monotonic() - began)
    return models


async def run_all(settings: Settings) -> None:
    """Gateway and worker, with an embedded Redis unless a URL is set; one signal ends all of it in order.

    The worker is a process of its own: a picture that kills it does not take the gateway along, and it is started
    again.
    """
    with _redis(settings) as url:
        stopping = asyncio.Event()
        keeper = asyncio.create_task(_keep_worker(settings, url, stopping))
        try:
            await run_gateway(settings, url, lambda port: _greet(settings, port))
        finally:
            stopping.set()
            await keeper


async def _keep_worker(settings: Settings, redis_url: str, stopping: asyncio.Event) -> None:
    died = 0
    while not stopping.is_set():
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "refstar_service.cli", "worker", "--parent", str(os.getpid())),
            # The settings of this process may come from its command line, so they are handed on as a whole.
            env={**os.environ, **_as_environment(settings), "REFSTAR_REDIS_URL": redis_url},
            start_new_session=True,  # Ctrl-C goes to the parent, which ends the worker in order
        )
        began = time.monotonic()
        ended = asyncio.create_task(process.wait())
        stop = asyncio.create_task(stopping.wait())
        await asyncio.wait((ended, stop), return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if not ended.done():
            process.terminate()
            await asyncio.wait((ended,), timeout=WORKER_GRACE)
        if not ended.done():
            log.warning("the worker did not end within %.0f s and is killed; its jobs are kept", WORKER_GRACE)
            process.kill()
        code = await ended
        if stopping.is_set():
            return
        died = died + 1 if time.monotonic() - began < 60 else 0
        pause = RESTART_AFTER[min(died, len(RESTART_AFTER) - 1)]
        log.error("the worker ended with status %d, starting another in %.1f s", code, pause)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), pause)


async def _watch(beat: Callable[[], None], parent: int | None, stopping: asyncio.Event) -> None:
    while True:
        beat()
        if parent is not None and os.getppid() != parent:
            log.warning("the process that started this worker is gone")
            stopping.set()
        await asyncio.sleep(1)


@contextmanager
def _redis(settings: Settings) -> Iterator[str]:
    if settings.redis_url is not None:
        yield settings.redis_url
        return
    with EmbeddedRedis(
        settings.data_dir / "redis", maxmemory_mb=settings.embedded_redis_memory_mb
    ) as embedded:
        yield embedded.url


@contextmanager
def _signals(act: Callable[[], None]) -> Iterator[None]:
    """SIGINT and SIGTERM call ``act`` in the running loop; a second SIGINT ends the process at once."""
    loop = asyncio.get_running_loop()
    seen = 0

    def handle(number: int) -> None:
        nonlocal seen
        seen += 1
        if seen > 1 and number == signal.SIGINT:
            os._exit(130)
        log.info("%s: ending", signal.Signals(number).name)
        act()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, handle, number)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def image_limits(settings: Settings) -> ImageLimits:
    return ImageLimits(
        max_bytes=settings.max_image_bytes,
        max_pixels=settings.max_image_pixels,
        max_side=settings.max_image_side,
        min_side=settings.min_image_side,
    )


def _models(settings: Settings) -> Mapping[str, ModelManifest]:
    models = load_manifests(settings.models_dir)
    if not models:
        raise ModelRefused(f"{settings.models_dir} holds no model folder; set REFSTAR_MODELS_DIR")
    return models


def _as_environment(settings: Settings) -> dict[str, str]:
    """The settings that differ from their defaults, as variables."""
    chosen = settings.model_dump(mode="json", exclude_unset=True, exclude={"redis_url", "worker_name"})
    return {f"REFSTAR_{name.upper()}": str(value) for name, value in chosen.items() if value is not None}


def _greet(settings: Settings, port: int) -> None:
    for name, meant in unrecognized(os.environ).items():
        log.warning("%s is not a setting%s", name, f"; did you mean {meant}?" if meant else "")
    print(
        f"RefSTAR Serve: http://{settings.host}:{port}  (API: /docs, ready: /readyz, end: Ctrl-C)", flush=True
    )
