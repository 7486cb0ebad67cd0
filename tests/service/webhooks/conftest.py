"""Servers that receive webhooks."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from owed_notices import HERE, SECRET, SOON
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis
from refstar_service.jobs import JobQueue, Outcome, RestoreRequest
from refstar_service.metrics.courier import CourierMetrics
from refstar_service.webhooks.courier import Courier
from refstar_service.webhooks.notices import Notices
from refstar_service.webhooks.sender import Sender
from webhook_receiver import Listen, Receiver


@pytest.fixture
async def listen() -> AsyncIterator[Listen]:
    """Makes a receiver: `await listen("answer", ..., tls=context)`."""
    servers: list[asyncio.Server] = []
    receivers: list[Receiver] = []

    async def start(*answers: str, tls: ssl.SSLContext | None = None) -> Receiver:
        receiver = Receiver(list(answers)) if answers else Receiver()
        server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0, ssl=tls)
        servers.append(server)
        receivers.append(receiver)
        receiver.port = server.sockets[0].getsockname()[1]
        return receiver

    yield start
    for server in servers:
        server.close()
    async with asyncio.timeout(5):
        while any(receiver.open_now for receiver in receivers):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


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
