"""Clients that are slow, endless or broken, each on a real socket."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from fastapi import FastAPI, Response
from refstar_service.gateway.http import connection
from refstar_service.gateway.http.server import GatewayServer
from refstar_service.settings import Settings

HEAD = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture
async def server(app: FastAPI, settings: Settings) -> AsyncIterator[GatewayServer]:
    @app.get("/large")
    async def large() -> Response:
        return Response(bytes(30_000_000))

    here = settings.model_copy(update={"port": 0, "shutdown_grace": 1})
    server = GatewayServer(app, here, handle_signals=False)
    serving = asyncio.create_task(server.serve())
    await server.ready.wait()
    yield server
    server.stop()
    await serving


@asynccontextmanager
async def connected(
    server: GatewayServer,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        async with asyncio.timeout(15):
            yield reader, writer
    finally:
        writer.close()


async def _cut(reader: asyncio.StreamReader) -> bytes:
    """What came until the connection ended, in whatever way."""
    try:
        return await reader.read()
    except ConnectionError:
        return b""


async def test_a_connection_that_says_nothing_is_cut(
    server: GatewayServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "HEAD_WITHIN", 0.2)
    async with connected(server) as (reader, _):
        assert await _cut(reader) == b""


@pytest.mark.parametrize("before", [b"", HEAD + b"\r\n"])
async def test_a_head_a_byte_at_a_time_is_cut(
    server: GatewayServer, monkeypatch: pytest.MonkeyPatch, before: bytes
) -> None:
    """Also that of a further request on the same connection."""
    monkeypatch.setattr(connection, "HEAD_WITHIN", 0.3)
    async with connected(server) as (reader, writer):
        if before:
            writer.write(before)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200")
            await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r")[0]))
        began = time.monotonic()
        ended = asyncio.create_task(_cut(reader))
        for byte in HEAD + b"X-Slow: " + b"x" * 1000:
            if ended.done():
                break
            writer.write(bytes([byte]))
            await asyncio.sleep(0.02)
        assert await ended == b""
        assert time.monotonic() - began < 15


async def test_a_request_that_takes_long_to_answer_is_not_cut(
    server: GatewayServer, app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    @app.get("/slow")
    async def slow() -> Response:
        await asyncio.sleep(0.5)
        return Response(b"there")

    monkeypatch.setattr(connection, "HEAD_WITHIN", 0.1)
    async with connected(server) as (reader, writer):
        writer.write(b"GET /slow HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert (await reader.read()).endswith(b"there")


async def test_an_endless_head_behind_a_request_that_runs_is_cut(
    server: GatewayServer, app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    @app.get("/slow")
    async def slow() -> Response:
        await asyncio.sleep(5)
        return Response(b"there")

    monkeypatch.setattr(connection, "HEAD_WITHIN", 0.3)
    async with connected(server) as (reader, writer):
        began = time.monotonic()
        writer.write(b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n" + HEAD)
        assert await _cut(reader) == b""
        assert time.monotonic() - began < 4


@pytest.mark.parametrize("line", [b"X-Long: %s\r\n" % (b"x" * 8000), b"X-Many: x\r\n"])
async def test_an_endless_head_is_refused(server: GatewayServer, line: bytes) -> None:
    async with connected(server) as (reader, writer):
        writer.write(HEAD)
        ended = asyncio.create_task(_cut(reader))
        for _ in range(10_000_000 // len(line)):
            if ended.done():
                break
            writer.write(line * 10)
            await asyncio.sleep(0)
        answer = await ended
    # The rest of what was sent may destroy the answer on its way.
    assert not answer or answer.startswith(b"HTTP/1.1 431")


async def test_a_head_somewhat_too_long_is_told_so(server: GatewayServer) -> None:
    async with connected(server) as (reader, writer):
        writer.write(b"GET /" + b"a" * (connection.LONGEST_HEAD + 100))
        head, body = (await reader.read()).split(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 431")
    assert b"application/problem+json" in head
    assert json.loads(body)["type"] == "/problems/head-too-large"


async def test_what_is_not_http_is_answered_as_a_problem(server: GatewayServer) -> None:
    async with connected(server) as (reader, writer):
        writer.write(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n")
        head, body = (await reader.read()).split(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400")
    assert json.loads(body)["type"] == "/problems/malformed-request"


async def test_who_does_not_read_its_answer_is_cut_and_who_reads_slowly_is_not(
    server: GatewayServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "STALLED_AFTER", 0.4)

    async def asking() -> socket.socket:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(client, ("127.0.0.1", server.port))
        await loop.sock_sendall(client, b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return client

    async def drained(client: socket.socket, pause: float) -> int:
        loop, total = asyncio.get_running_loop(), 0
        try:
            while total < 30_000_000 and (data := await loop.sock_recv(client, 1_000_000)):
                total += len(data)
                await asyncio.sleep(pause)
        except ConnectionError:
            pass
        return total

    async with asyncio.timeout(30):
        standing, slow = await asking(), await asking()
        assert await drained(slow, 0.004) > 30_000_000 - 1
        assert await drained(standing, 0.0) < 30_000_000
    standing.close()
    slow.close()
