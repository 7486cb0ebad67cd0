"""A courier that is stopped or killed, and a Redis that is full or away: no notice is lost."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from time import time
from typing import Any

import httpx
import pytest
from owed_notices import SECRET, nothing_owed
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from refstar_service.jobs import Outcome
from refstar_service.webhooks.notices import Notices
from webhook_receiver import Listen, status


async def test_what_a_stopped_courier_had_under_way_is_due_again_at_once(
    ended: Any, courier: Any, listen: Listen, success: Outcome, redis: Redis
) -> None:
    receiver = await listen("", status(204))
    await ended("one", success, receiver.url)
    async with courier():
        await receiver.got(1)
    assert await redis.zscore("{refstar}:notices", "one") <= time() + 0.1
    assert await redis.hget("{refstar}:notice:one", "attempts") is None
    async with courier():
        await receiver.got(2)


async def test_a_full_redis_does_not_keep_what_is_owed(
    ended: Any, courier: Any, listen: Listen, success: Outcome, notices: Notices, redis: Redis
) -> None:
    receiver = await listen(status(500), status(204))
    await ended("one", success, receiver.url)
    (notice,) = (await notices.take(1, places=1, left={})).notices
    await notices.keep_body(notice, b"{}")
    await notices.put_back(notice, 0.0, tried=False)
    before = (await redis.config_get("maxmemory"))["maxmemory"]
    await redis.config_set("maxmemory", "1")
    try:
        async with courier():
            await nothing_owed(notices, redis)
    finally:
        await redis.config_set("maxmemory", before)
    assert len(receiver.received) == 2


async def test_an_outage_of_redis_only_delays(
    ended: Any,
    courier: Any,
    listen: Listen,
    success: Outcome,
    notices: Notices,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    receiver = await listen()
    take, failures = notices.take, 2

    async def flaky(n: int, **options: Any) -> Any:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise RedisConnectionError("redis is away")
        return await take(n, **options)

    monkeypatch.setattr("refstar_service.webhooks.courier.RETRY_REDIS_AFTER", 0.01)
    monkeypatch.setattr(notices, "take", flaky)
    await ended("one", success, receiver.url)
    async with courier():
        await receiver.got(1)


KILLED = """
import asyncio, sys
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from refstar_service.jobs import JobQueue
from refstar_service.metrics.courier import CourierMetrics
from refstar_service.webhooks.courier import Courier
from refstar_service.outgoing.endpoint import Reach, parse_networks
from refstar_service.webhooks.notices import Notices
from refstar_service.webhooks.sender import Sender

async def secrets(owner):
    return [sys.argv[2]]

async def main():
    redis = Redis.from_url(sys.argv[1])
    here = Reach(parse_networks("127.0.0.0/8"), (range(1, 65_536),))
    courier = Courier(
        Notices(redis, lease=1.0, defer=1.0), JobQueue(redis), Sender(reach=here), secrets,
        CourierMetrics.on(CollectorRegistry()), reach=here,
    )
    await courier.run(asyncio.Event())

asyncio.run(main())
"""


async def test_a_killed_courier_loses_no_notice(
    ended: Any,
    courier: Any,
    listen: Listen,
    success: Outcome,
    notices: Notices,
    redis: Redis,
    redis_server: str,
) -> None:
    """Killed while eight deliveries hang and twelve more wait: each of the twenty arrives."""
    receiver = await listen(*[""] * 8, status(204))
    names = {f"job-{number}" for number in range(20)}
    for name in sorted(names):
        await ended(name, success, receiver.url)
    command = [sys.executable, "-c", KILLED, redis_server, SECRET]
    process = subprocess.Popen(command)  # noqa: ASYNC220  it is killed below
    try:
        await receiver.got(8, within=20)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    arrived = len(receiver.received)
    async with courier():
        await nothing_owed(notices, redis)
    told = [got.event["data"]["id"] for got in receiver.received]
    assert set(told) == names
    assert len(told) == 20 + 8
    assert arrived == 8


async def test_the_process_delivers_tells_that_it_is_ready_and_ends_when_told(
    ended: Any, listen: Listen, success: Outcome, notices: Notices, redis: Redis, redis_server: str
) -> None:
    receiver = await listen()
    await ended("one", success, receiver.url)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("REFSTAR_")} | {
        "REFSTAR_REDIS_URL": redis_server,
        "REFSTAR_WEBHOOK_SECRET": SECRET,
        "REFSTAR_WEBHOOK_NETWORKS": "127.0.0.0/8",
        "REFSTAR_WEBHOOK_PORTS": "1-65535",
        "REFSTAR_WORKER_METRICS_PORT": "0",
    }
    command = [sys.executable, "-m", "refstar_service.app.cli", "courier"]
    process = await asyncio.create_subprocess_exec(*command, env=environment, stderr=asyncio.subprocess.PIPE)
    assert process.stderr is not None
    async with asyncio.timeout(30):
        (got,) = await receiver.got(1, within=20)
        await nothing_owed(notices, redis)
        said = await process.stderr.readline()
        while b"metrics on" not in said:
            said = await process.stderr.readline()
        port = re.findall(rb":(\d+)/metrics", said)[0].decode()
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            assert (await client.get("/readyz")).status_code == 200
            metrics = (await client.get("/metrics")).text
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
        rest = (await process.stderr.read()).decode()
    assert got.signed_by(SECRET)
    assert 'refstar_webhook_deliveries_total{outcome="delivered"} 1.0' in metrics
    assert SECRET not in rest
