"""For operators: whether the service is alive and ready, and its metrics."""

import asyncio
import math
import time
from dataclasses import asdict
from typing import Literal

from fastapi import Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from redis.exceptions import RedisError

from refstar_service.access.file import KeyFileError
from refstar_service.gateway.http.context import Gateway, GatewayDep
from refstar_service.gateway.http.handlers import name_trouble
from refstar_service.gateway.http.problem_types import ProblemType
from refstar_service.gateway.http.problems import ProblemError
from refstar_service.gateway.http.resource import Resource
from refstar_service.gateway.http.responses import describe_problems
from refstar_service.gateway.http.router import new_router
from refstar_service.restoration.rules import list_models

PATIENCE = 2.0  # seconds; a probe that hangs tells an orchestrator less than one that says no

router = new_router(tag="operation")


class Liveness(Resource):
    status: Literal["ok"]


class Readiness(Resource):
    status: Literal["ready"]
    workers: list[str]


@router.get("/healthz")
async def check_health() -> Liveness:
    """Check that this process responds. Nothing else is checked, so an outage of Redis does not restart gateways."""
    return Liveness(status="ok")


@router.get("/readyz", responses=describe_problems(ProblemType.NOT_READY))
async def check_readiness(gateway: GatewayDep) -> Readiness:
    """Check that pictures can be restored. Redis answers and can write, API keys can be read, pictures can be stored, a
    model is installed, and a running worker has loaded it and warmed it up."""
    if gateway.stopping.is_set():
        raise _report_not_ready("The service is stopping.")
    if not gateway.models:
        raise _report_not_ready("No model is installed.")
    try:
        async with asyncio.timeout(PATIENCE):
            # A Redis that cannot write says so to a ping too; else nobody would be asked, and all look well.
            await gateway.redis.ping()
            if gateway.keys is not None:
                await gateway.keys.get("")
            workers = await gateway.queue.workers()
    except (RedisError, TimeoutError) as error:
        raise _report_not_ready(name_trouble(error)) from error
    except KeyFileError as error:
        raise _report_not_ready("The API keys cannot be read.") from error
    try:
        async with asyncio.timeout(PATIENCE):
            writable = await gateway.store_check.is_writable()
    except TimeoutError as error:
        raise _report_not_ready("The picture store does not respond.") from error
    if not writable:
        raise _report_not_ready("The picture store cannot be written: it is full, read-only or away.")
    if not workers:
        raise _report_not_ready("No worker is running.")
    able = [worker.name for worker in workers if not gateway.models.names.isdisjoint(worker.models)]
    if not able:
        raise _report_not_ready(
            f"No running worker has any of this gateway's models: {', '.join(list_models(gateway.models))}."
        )
    return Readiness(status="ready", workers=able)


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def scrape_metrics(request: Request, gateway: GatewayDep) -> Response:
    """Read metrics, for Prometheus. Queue metrics are read from Redis on every scrape, so no worker is needed."""
    await _read_queue(gateway)
    return Response(generate_latest(request.app.state.registry), media_type=CONTENT_TYPE_LATEST)


async def _read_queue(gateway: Gateway) -> None:
    gauges = gateway.metrics
    labeled = (
        gauges.queue_depth,
        gauges.jobs_in_flight,
        gauges.queue_oldest_timestamp,
        gauges.stored_bytes,
        gauges.redis_info,
    )
    gauges.storage_limit.set(gateway.settings.storage_limit)
    for share in gateway.rollout.canaries.values():
        gauges.canary_percent.labels(share.full_name, gateway.rollout.default_of(share)).set(share.percent)
    try:
        async with asyncio.timeout(PATIENCE):
            lines = await gateway.queue.survey()
            workers = await gateway.queue.workers()
            owed = await gateway.notices.backlog()
            stored = await gateway.ledger.totals()
            server = await gateway.redis.info()
    except (RedisError, TimeoutError):
        gauges.redis_up.set(0)
        for gauge in labeled:  # no figure is better than an old one
            gauge.clear()
        for figure in (
            gauges.workers,
            gauges.webhook_backlog,
            gauges.redis_memory,
            gauges.redis_memory_limit,
        ):
            figure.set(math.nan)
        return
    gauges.redis_up.set(1)
    gauges.redis_memory.set(server["used_memory"])
    gauges.redis_memory_limit.set(server["maxmemory"] or math.nan)
    gauges.workers.set(len(workers))
    gauges.webhook_backlog.set(owed)
    name = "valkey" if "valkey_version" in server else "redis"
    gauges.redis_info.clear()
    gauges.redis_info.labels(name, server.get(f"{name}_version", "")).set(1)
    for kind, size in asdict(stored).items():
        gauges.stored_bytes.labels(kind).set(size)
    gauges.queue_oldest_timestamp.clear()
    for priority, line in lines.items():
        gauges.queue_depth.labels(priority).set(line.depth)
        gauges.jobs_in_flight.labels(priority).set(line.held)
        if line.waiting:
            gauges.queue_oldest_timestamp.labels(priority).set(time.time() - line.oldest)


def _report_not_ready(detail: str) -> ProblemError:
    return ProblemError(ProblemType.NOT_READY, detail, headers={"Retry-After": "2"})
