"""The courier: every notice that is owed arrives, signed, at least once, until it is refused or given up."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from time import time
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from refstar_service.access.key import new_webhook_secret
from refstar_service.jobs import JobQueue, Outcome, RestoreRequest
from refstar_service.metrics.courier import CourierMetrics
from refstar_service.outgoing.endpoint import Reach, parse_networks
from refstar_service.webhooks.courier import AT_ONCE_OF_ONE_OWNER, SCHEDULE, Courier
from refstar_service.webhooks.notices import Notices
from refstar_service.webhooks.sender import Sender
from webhook_receiver import Listen, status

HERE = Reach(parse_networks("127.0.0.0/8"), (range(1, 65_536),))
SECRET = new_webhook_secret()
SOON = (0.01,) * 9


@pytest.fixture
def notices(redis: Redis) -> Notices:
    return Notices(redis)


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def courier(
    notices: Notices, queue: JobQueue, registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    """`async with courier(schedule=..., secrets=...)`: one that runs meanwhile."""
    monkeypatch.setattr("refstar_service.webhooks.courier.LOOK_EVERY", 0.05)
    metrics = CourierMetrics.on(registry)

    @asynccontextmanager
    async def running(
        schedule: Sequence[float] = SOON, secrets: Sequence[str] | None = (SECRET,)
    ) -> AsyncIterator[None]:
        async def secrets_of(owner: str) -> Sequence[str] | None:
            return secrets

        one = Courier(
            notices,
            queue,
            Sender(reach=HERE, timeout=5.0),
            secrets_of,
            metrics,
            reach=HERE,
            schedule=schedule,
            grace=0.1,
        )
        stopping = asyncio.Event()
        running = asyncio.create_task(one.run(stopping))
        try:
            yield
        finally:
            stopping.set()
            await running

    return running


@pytest.fixture
def ended(queue: JobQueue, request_for_jobs: RestoreRequest) -> Callable[..., Any]:
    """`await ended("id", outcome, url)`: a job that ended so and whose owner is to be told."""

    async def end(job_id: str, outcome: Outcome, url: str, owner: str = "") -> None:
        await queue.submit(job_id, request_for_jobs, owner=owner, webhook=url)
        (started,) = await queue.start(await queue.reserve(1))
        assert started is not None
        assert await queue.finish([(started, outcome)]) == [True]

    return end


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


async def test_the_end_of_a_job_is_told_and_signed(
    ended: Any, courier: Any, listen: Listen, success: Outcome, notices: Notices, redis: Redis
) -> None:
    receiver = await listen()
    await ended("one", success, receiver.url)
    async with courier(secrets=(new_webhook_secret(), SECRET)):
        (got,) = await receiver.got(1)
        await nothing_owed(notices, redis)
    assert got.signed_by(SECRET)
    assert not got.signed_by(new_webhook_secret())
    assert got.headers["webhook-id"] == "msg_one"
    assert abs(int(got.headers["webhook-timestamp"]) - time()) < 5
    assert got.headers["content-type"] == "application/json"
    assert len(got.body) < 20_000
    event = got.event
    assert event["type"] == "restoration.succeeded"
    assert event["timestamp"] == event["data"]["finished_at"]
    assert event["data"]["id"] == "one"
    assert event["data"]["links"]["image"] == "/v1/restorations/one/image"
    assert event["data"]["error"] is None


async def test_failures_and_cancellations_are_told_too(
    ended: Any,
    courier: Any,
    listen: Listen,
    failure: Outcome,
    queue: JobQueue,
    request_for_jobs: RestoreRequest,
) -> None:
    receiver = await listen()
    await ended("bad", failure, receiver.url)
    await queue.submit("stopped", request_for_jobs, webhook=receiver.url)
    await queue.cancel("stopped")
    await queue.submit("silent", request_for_jobs)
    await queue.cancel("silent")
    async with courier():
        events = {got.event["data"]["id"]: got.event for got in await receiver.got(2)}
        await asyncio.sleep(0.1)
    assert events["bad"]["type"] == "restoration.failed"
    assert events["bad"]["data"]["error"] == {
        "type": "/problems/image-undecodable",
        "detail": "not this one",
    }
    assert events["stopped"]["type"] == "restoration.canceled"
    assert len(receiver.received) == 2


async def test_a_lost_worker_is_told(queue: JobQueue, request_for_jobs: RestoreRequest, redis: Redis) -> None:
    queue.max_attempts = 0
    await queue.submit("lost", request_for_jobs, webhook="https://hooks.example/")
    assert await queue.start(await queue.reserve(1)) == [None]
    assert await redis.hget("{refstar}:notice:lost", "status") == b"failed"


@pytest.mark.parametrize("answer", [status(500), status(404), status(301, "Location: /"), "HTTP/1.1 garbage"])
async def test_everything_but_2xx_is_tried_again_with_the_same_id_and_body(
    ended: Any,
    courier: Any,
    listen: Listen,
    success: Outcome,
    notices: Notices,
    redis: Redis,
    registry: CollectorRegistry,
    answer: str,
) -> None:
    receiver = await listen(answer, answer, status(202))
    await ended("one", success, receiver.url)
    async with courier():
        first, second, third = await receiver.got(3)
        await nothing_owed(notices, redis)
    assert first.body == second.body == third.body
    assert {got.headers["webhook-id"] for got in receiver.received} == {"msg_one"}
    assert all(got.signed_by(SECRET) for got in receiver.received)
    assert outcomes(registry) == {"failed": 2, "delivered": 1}


async def test_after_the_last_attempt_it_is_given_up(
    ended: Any,
    courier: Any,
    listen: Listen,
    success: Outcome,
    notices: Notices,
    redis: Redis,
    registry: CollectorRegistry,
) -> None:
    receiver = await listen(status(500))
    await ended("one", success, receiver.url)
    async with courier():
        await nothing_owed(notices, redis)
    assert len(receiver.received) == 10
    assert outcomes(registry) == {"failed": 9, "given_up": 1}


def test_the_schedule_is_the_published_one() -> None:
    assert SCHEDULE == (5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)


@pytest.mark.parametrize(("headers", "least", "most"), [((), 4.5, 5.5), (("Retry-After: 60",), 60.0, 60.0)])
async def test_the_next_attempt_comes_when_the_schedule_and_the_receiver_say(
    ended: Any,
    courier: Any,
    listen: Listen,
    success: Outcome,
    redis: Redis,
    headers: tuple[str, ...],
    least: float,
    most: float,
) -> None:
    receiver = await listen(status(503, *headers))
    began = time()
    await ended("one", success, receiver.url)
    async with courier(schedule=SCHEDULE):
        await receiver.got(1)
        await tried(redis, "one")
    due = await redis.zscore("{refstar}:notices", "one")
    assert began + least <= due <= time() + most


async def test_410_ends_it_and_what_else_is_owed_to_that_endpoint(
    ended: Any,
    courier: Any,
    listen: Listen,
    success: Outcome,
    notices: Notices,
    redis: Redis,
    registry: CollectorRegistry,
) -> None:
    receiver = await listen(status(410))
    other = await listen()
    await ended("one", success, receiver.url, owner="a")
    async with courier():
        await nothing_owed(notices, redis)
        await ended("two", success, receiver.url, owner="a")
        await ended("three", success, other.url, owner="a")
        await nothing_owed(notices, redis)
    assert len(receiver.received) == 1
    assert len(other.received) == 1
    assert outcomes(registry) == {"gone": 2, "delivered": 1}
    assert await notices.is_off("a", receiver.url)
    assert not await notices.is_off("b", receiver.url)


async def test_an_address_inside_is_not_called(
    ended: Any, courier: Any, listen: Listen, success: Outcome, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    await ended("one", success, "https://169.254.169.254/latest/meta-data/iam")
    async with courier(schedule=SCHEDULE):
        await tried(redis, "one")
    assert "not a public address" in caplog.text
    assert "meta-data" not in caplog.text


async def test_notices_of_a_revoked_key_are_dropped(
    ended: Any,
    courier: Any,
    listen: Listen,
    success: Outcome,
    notices: Notices,
    redis: Redis,
    registry: CollectorRegistry,
) -> None:
    receiver = await listen()
    await ended("one", success, receiver.url)
    async with courier(secrets=None):
        await nothing_owed(notices, redis)
    assert receiver.connections == 0
    assert outcomes(registry) == {"abandoned": 1}


async def test_a_notice_outlives_its_job(
    ended: Any, courier: Any, listen: Listen, success: Outcome, queue: JobQueue
) -> None:
    receiver = await listen()
    await ended("one", success, receiver.url)
    await queue.delete("one")
    async with courier():
        (got,) = await receiver.got(1)
    assert got.event["type"] == "restoration.succeeded"
    assert got.event["data"] == {
        "id": "one",
        "status": "succeeded",
        "links": {"self": "/v1/restorations/one"},
    }


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


async def test_one_owner_s_slow_servers_leave_room_for_others(
    ended: Any, courier: Any, listen: Listen, success: Outcome
) -> None:
    slow, quick = await listen(""), await listen()
    for number in range(AT_ONCE_OF_ONE_OWNER + 4):
        await ended(f"slow-{number}", success, slow.url, owner="slow")
    await ended("quick", success, quick.url, owner="quick")
    async with courier():
        await quick.got(1)
        await slow.got(AT_ONCE_OF_ONE_OWNER)
        await asyncio.sleep(0.1)
        assert slow.most_open == AT_ONCE_OF_ONE_OWNER


async def test_what_is_owed_is_counted_by_owner(
    ended: Any, courier: Any, listen: Listen, success: Outcome, notices: Notices, redis: Redis
) -> None:
    receiver = await listen()
    for number in range(3):
        await ended(f"a-{number}", success, receiver.url, owner="a")
    await ended("b", success, receiver.url, owner="b")
    assert (await notices.count_owed("a"), await notices.count_owed("b"), await notices.count_owed("c")) == (
        3,
        1,
        0,
    )
    async with courier():
        await nothing_owed(notices, redis)
    assert (await notices.count_owed("a"), await notices.count_owed("b")) == (0, 0)


async def test_a_notice_is_due_the_moment_its_job_ends(
    ended: Any, success: Outcome, notices: Notices
) -> None:
    for number in range(30):  # a moment rounded to milliseconds lies ahead of half of them
        await ended(f"job-{number}", success, "http://127.0.0.1:9/")
        assert [notice.job_id for notice in await notices.take(1)] == [f"job-{number}"]


async def test_a_full_redis_does_not_keep_what_is_owed(
    ended: Any, courier: Any, listen: Listen, success: Outcome, notices: Notices, redis: Redis
) -> None:
    receiver = await listen(status(500), status(204))
    await ended("one", success, receiver.url)
    (notice,) = await notices.take(1)
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

    async def flaky(n: int) -> Any:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise RedisConnectionError("redis is away")
        return await take(n)

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
        Notices(redis, lease=1.0), JobQueue(redis), Sender(reach=here), secrets,
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
