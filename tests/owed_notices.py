"""Notices of ended jobs: what a test waits for, and how their deliveries ended."""

import asyncio

from prometheus_client import CollectorRegistry
from redis.asyncio import Redis
from refstar_service.access.key import new_webhook_secret
from refstar_service.outgoing.endpoint import Reach, parse_networks
from refstar_service.webhooks.notices import Notices

HERE = Reach(parse_networks("127.0.0.0/8"), (range(1, 65_536),))
SECRET = new_webhook_secret()
SOON = (0.01,) * 9


def outcomes(registry: CollectorRegistry) -> dict[str, float]:
    """How many attempts ended in each way that occurred."""
    return {
        sample.labels["outcome"]: sample.value
        for metric in registry.collect()
        for sample in metric.samples
        if sample.name == "refstar_webhook_deliveries_total" and sample.value
    }


async def nothing_owed(notices: Notices, redis: Redis) -> None:
    async with asyncio.timeout(5):
        while await notices.backlog():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert not await redis.keys("*notice*")


async def tried(redis: Redis, job_id: str) -> None:
    async with asyncio.timeout(5):
        while await redis.hget(f"{{refstar}}:notice:{job_id}", "attempts") is None:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
