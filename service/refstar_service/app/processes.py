"""The long-lived processes, put together from settings: a gateway, a worker."""

import asyncio
import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager
from importlib import import_module
from typing import TYPE_CHECKING

from redis.asyncio import Redis

from refstar_service.app.access_policy import (
    check_open_mode,
    key_store,
    log_access,
    log_unknown_settings,
)
from refstar_service.app.heap import growing
from refstar_service.app.installed import installed_models
from refstar_service.blobs import BlobStore, BlobsUnavailableError, DirectoryBlobs, RedisBlobs, SweptBlobStore
from refstar_service.jobs import JobQueue, WorkerInfo
from refstar_service.metrics.registry import new_registry
from refstar_service.metrics.worker import WorkerMetrics
from refstar_service.people import PeopleStore
from refstar_service.redis.client import connect
from refstar_service.settings import Settings

if TYPE_CHECKING:
    from refstar_service.app.loading import LoadedModels

log = logging.getLogger("refstar")


@asynccontextmanager
async def _connect(settings: Settings, redis_url: str) -> AsyncIterator[tuple[Redis, JobQueue, BlobStore]]:
    """Redis, the queue and the blob store of these settings; a directory store is swept while they are in use."""
    redis = connect(redis_url)
    queue = JobQueue(
        redis,
        limit=settings.queue_limit,
        byte_limit=settings.storage_limit,
        owner_byte_limit=settings.storage_bytes_per_key if settings.access != "open" else 0,
        memory_share=settings.redis_memory_share,
        blobs_in_redis=settings.store == "redis",
        max_attempts=settings.max_attempts,
        job_ttl=settings.job_ttl,
        result_ttl=settings.result_ttl,
        tombstone_ttl=settings.expired_ttl,
        stale_after=settings.stale_after,
        worker=settings.worker_name,
    )
    swept = swept_store(settings)
    sweeper = asyncio.create_task(_sweep(swept)) if swept is not None else None
    blobs: BlobStore = swept or RedisBlobs(redis)
    try:
        yield redis, queue, blobs
    finally:
        if sweeper is not None:
            sweeper.cancel()
        await queue.aclose()
        await redis.aclose()


def swept_store(settings: Settings) -> SweptBlobStore | None:
    """The store beside Redis that these settings ask for, if any."""
    match settings.store:
        case "redis":
            return None
        case "directory":
            return DirectoryBlobs(settings.blob_folder)
        case "s3":
            try:
                from refstar_service.blobs.s3 import S3Blobs
            except ModuleNotFoundError as error:
                raise RuntimeError("blobs=s3 needs the extra: pip install 'refstar-service[s3]'") from error
            return S3Blobs(settings.s3_url or "")


async def _sweep(blobs: SweptBlobStore) -> None:
    while True:
        try:
            await blobs.sweep()
        except BlobsUnavailableError as error:
            log.warning("expired blobs could not be deleted: %s", error)
        except Exception:
            log.exception("expired blobs could not be deleted")  # nobody would see that this task has ended
        await asyncio.sleep(blobs.sweep_every)


async def run_gateway(
    settings: Settings,
    redis_url: str,
    *,
    started: Callable[[int], None] | None = None,
    stopping: asyncio.Event | None = None,
) -> None:
    """Serve until SIGTERM, SIGINT or `stopping`. `started` is called with the port once it listens."""
    check_open_mode(settings, os.environ)
    log_unknown_settings(os.environ)
    await log_access(settings)
    stopping = stopping or asyncio.Event()
    # Half a second of imports: the worker goes without them, and in a thread they do not hold up its start.
    with growing():
        await asyncio.to_thread(import_module, "refstar_service.gateway.app")
        from refstar_service.app.courier import build_courier
        from refstar_service.gateway.app import create_app
        from refstar_service.gateway.http.server import GatewayServer

    async with _connect(settings, redis_url) as (redis, queue, blobs):
        app = create_app(
            settings,
            queue=queue,
            blobs=blobs,
            models=installed_models(settings),
            redis=redis,
            keys=key_store(settings, redis),
        )
        server = GatewayServer(app, settings, handle_signals=False)
        courier = (
            build_courier(settings, redis, queue, app.state.registry) if settings.webhook_courier else None
        )
        with _handle_signals(stopping.set):
            serving = asyncio.create_task(server.serve())
            # It ends before the gateway's last answers are out; what it does not deliver, the next one does.
            delivering = asyncio.create_task(courier.run(stopping) if courier else stopping.wait())
            ready = asyncio.create_task(server.ready.wait())
            stop = asyncio.create_task(stopping.wait())
            await asyncio.wait((serving, ready), return_when=asyncio.FIRST_COMPLETED)
            if server.ready.is_set():
                log.info("gateway is listening on http://%s:%d", settings.host, server.port)
                if started is not None:
                    started(server.port)
            await asyncio.wait((serving, stop, delivering), return_when=asyncio.FIRST_COMPLETED)
            stopping.set()
            server.stop()
            for helper in (ready, stop):
                helper.cancel()
            await asyncio.gather(serving, delivering)


async def run_courier(settings: Settings, redis_url: str) -> None:
    """Deliver webhooks until SIGTERM or SIGINT: for gateways that may not, as `webhook_courier` has it."""
    from refstar_service.app.courier import build_courier
    from refstar_service.worker import health

    log_unknown_settings(os.environ)
    stopping = asyncio.Event()
    registry = new_registry()
    async with _connect(settings, redis_url) as (redis, queue, _):
        pulse = health.Pulse()
        courier = build_courier(settings, redis, queue, registry, looked=pulse.announce)
        if courier is None:
            raise RuntimeError(
                "there is no secret to sign webhooks with: set REFSTAR_ACCESS to the same value as for the "
                "gateways, or set REFSTAR_WEBHOOK_SECRET"
            )
        stop_health = None
        if settings.worker_metrics_port is not None:
            host, port = settings.worker_metrics_host, settings.worker_metrics_port
            port, stop_health = health.serve(host, port, registry, pulse)
            log.info("courier metrics on http://%s:%d/metrics", host, port)
        watch = asyncio.create_task(_beat(pulse.beat))
        log.info("courier started")
        try:
            with _handle_signals(stopping.set):
                await courier.run(stopping)
        finally:
            pulse.ending = True
            watch.cancel()
            if stop_health is not None:
                stop_health()
    log.info("courier stopped")


async def run_worker(
    settings: Settings,
    loading: "Future[LoadedModels]",
    redis_url: Callable[[], str],
    *,
    started_by_serve: bool = False,
) -> None:
    """Restore until SIGTERM or SIGINT.

    `loading`: its models, as `loading.begin_loading` has it. `redis_url` is asked once they are loaded, and may
    take its time; "" is the end. `started_by_serve`: its parent has the same environment and has warned of unknown
    settings.
    """
    # onnxruntime is imported here, so that a gateway can be installed without it.
    with growing():
        from refstar_service.app.transfers import build_transfers
        from refstar_service.restoration.references import ReferenceMemory
        from refstar_service.restoration.rules import image_limits
        from refstar_service.restoration.steps import Model, Viewer
        from refstar_service.worker import health
        from refstar_service.worker.files import JobFiles
        from refstar_service.worker.pipeline import Worker
        from refstar_service.worker.recall import Recall

    if not started_by_serve:
        log_unknown_settings(os.environ)
    registry = new_registry()
    pulse = health.Pulse()
    stop_health = None
    if settings.worker_metrics_port is not None:
        host, port = settings.worker_metrics_host, settings.worker_metrics_port
        port, stop_health = health.serve(host, port, registry, pulse)
        log.info("worker metrics on http://%s:%d/metrics", host, port)
    stopping = asyncio.Event()

    def stop() -> None:
        pulse.ending = True
        stopping.set()

    with _handle_signals(stop):
        watch = asyncio.create_task(_beat(pulse.beat))
        try:
            # Meanwhile signals and the liveness probe are answered.
            loaded = await asyncio.wrap_future(loading)
            shadows = {share.full_name for share in settings.shadow_shares}
            metrics = WorkerMetrics.on(registry, models=loaded.restorers.keys() | shadows)
            models = {}
            for name, (manifest, restorer) in loaded.restorers.items():
                models[name] = Model.of(manifest, restorer)
                label = manifest.name, manifest.version, restorer.precision, loaded.provider
                metrics.model_info.labels(*label).set(1)
                metrics.watch_ceiling(name, restorer.ceiling)
            url = await asyncio.to_thread(redis_url)
            if not url:
                return
            async with _connect(settings, url) as (redis, queue, blobs):
                worker = Worker(
                    queue,
                    JobFiles(blobs, settings.result_ttl),
                    models,
                    WorkerInfo(
                        settings.worker_name, (*models, *loaded.defaults), settings.provider, time.time()
                    ),
                    metrics=metrics,
                    recall=Recall(PeopleStore(redis), blobs),
                    viewer=Viewer(
                        loaded.detector, ReferenceMemory(), image_limits(settings), settings.stranger_below
                    ),
                    max_batch=settings.max_batch,
                    max_batch_pixels=settings.max_batch_pixels,
                    picture_threads=loaded.budget.pictures,
                    rounds_at_once=loaded.budget.inferences,
                    faces_at_once=loaded.budget.faces,
                    announced=pulse.announce,
                    transfers=build_transfers(settings),
                    transfers_at_once=settings.transfers_at_once,
                    defaults=loaded.defaults,
                    most_shadows=settings.shadow_queue,
                )
                try:
                    await worker.run(stopping)
                except Exception:
                    log.exception("the worker failed")
                    # Not by way of asyncio's own end, which waits for every task: what this worker holds is free for
                    # others as soon as the process is gone.
                    logging.shutdown()
                    os._exit(1)
        finally:
            watch.cancel()
            if stop_health is not None:
                stop_health()
    log.info("worker stopped")


async def _beat(beat: Callable[[], None]) -> None:
    while True:
        beat()
        await asyncio.sleep(1)


@contextmanager
def _handle_signals(act: Callable[[], None]) -> Iterator[None]:
    """SIGINT and SIGTERM call `act` in the running loop; a second SIGINT ends the process at once."""
    loop = asyncio.get_running_loop()
    seen = 0

    def handle(number: int) -> None:
        nonlocal seen
        seen += 1
        if seen > 1 and number == signal.SIGINT:
            os._exit(130)
        log.info("received %s, stopping", signal.Signals(number).name)
        act()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, handle, number)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
