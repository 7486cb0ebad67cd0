"""For those who run the service: is it alive, can it do its work, how much does it do."""

import asyncio
import math
import time

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from redis.exceptions import RedisError

from refstar_service.gateway.http.context import Gateway, GatewayDep
from refstar_service.gateway.http.problems import Problem, ProblemType
from refstar_service.gateway.http.responses import problem_responses
from refstar_service.gateway.routes.resources import Liveness, Readiness

PATIENCE = 2.0  # seconds; a probe that hangs tells an orchestrator less than one that says no

router = APIRouter(tags=["operation"])


@router.get("/healthz")
async def healthz() -> Liveness:
    """The process answers. Asks nobody else: an outage of Redis must not restart gateways."""
    return Liveness(status="ok")


@router.get("/readyz", responses=problem_responses(ProblemType.NOT_READY))
async def readyz(gateway: GatewayDep) -> Readiness:
    """Redis answers, there is a model, and a worker is there that has it loaded and warmed up."""
    if gateway.stopping.is_set():
        raise _not_ready("It is stopping.")
    if not gateway.models:
        raise _not_ready("There is no model.")
    try:
        async with asyncio.timeout(PATIENCE):
            workers = await gateway.queue.workers()
    except (RedisError, TimeoutError) as error:
        raise _not_ready("Redis does not answer.") from error
    if not workers:
        raise _not_ready("No worker is there.")
    able = [worker.name for worker in workers if not gateway.models.keys().isdisjoint(worker.models)]
    if not able:
        raise _not_ready(f"No worker has a model of this gateway: {', '.join(sorted(gateway.models))}.")
    return Readiness(status="ready", workers=able)


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics(request: Request, gateway: GatewayDep) -> Response:
    """Prometheus metrics. The queue's figures are read from Redis now: no worker is needed."""
    await _read_queue(gateway)
    return Response(generate_latest(request.app.state.registry), media_type=CONTENT_TYPE_LATEST)


async def _read_queue(gateway: Gateway) -> None:
    gauges = gateway.metrics
    labeled = (gauges.queue_depth, gauges.jobs_in_flight, gauges.queue_oldest_timestamp)
    try:
        async with asyncio.timeout(PATIENCE):
            lines = await gateway.queue.survey()
            workers = await gateway.queue.workers()
            owed = await gateway.notices.backlog()
    except (RedisError, TimeoutError):
        gauges.redis_up.set(0)
        for gauge in labeled:  # no figure is better than an old one
            gauge.clear()
        gauges.workers.set(math.nan)
        gauges.webhook_backlog.set(math.nan)
        return
    gauges.redis_up.set(1)
    gauges.workers.set(len(workers))
    gauges.webhook_backlog.set(owed)
    gauges.queue_oldest_timestamp.clear()
    for priority, line in lines.items():
        gauges.queue_depth.labels(priority).set(line.depth)
        gauges.jobs_in_flight.labels(priority).set(line.held)
        if line.waiting:
            gauges.queue_oldest_timestamp.labels(priority).set(time.time() - line.oldest)


def _not_ready(detail: str) -> Problem:
    return Problem(ProblemType.NOT_READY, detail, headers={"Retry-After": "2"})
