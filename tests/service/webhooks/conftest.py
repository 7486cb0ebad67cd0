"""Servers that receive webhooks."""

import asyncio
import ssl
from collections.abc import AsyncIterator

import pytest
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
