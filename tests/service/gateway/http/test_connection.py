"""Clients that are slow, endless or broken, each on a real socket."""

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from fastapi import FastAPI, Request, Response
from refstar_service.gateway.http import connection
from refstar_service.gateway.http.connection import ClientConnection
from refstar_service.gateway.http.server import GatewayServer
from refstar_service.settings import Settings

HEAD = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"


POST = (
    b"POST /v1/restorations HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n"
)
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\n--b\r\n"


class Sent(asyncio.Transport):
    """A transport to a client that sends in pieces of the test's choice."""

    def __init__(self) -> None:
        super().__init__()
        self.data = bytearray()
        self._closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.data += data

    def close(self) -> None:
        self._closing = True

    abort = close

    def is_closing(self) -> bool:
        return self._closing


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


@pytest.mark.parametrize("line", [b"X-Long: %s\r\n" % (b"x" * 8000), b"X: x\r\n"])
async def test_a_long_head_that_comes_in_one_piece_is_refused_too(
    server: GatewayServer, app: FastAPI, line: bytes
) -> None:
    theirs = ClientConnection(server.config, server.server_state, {})
    sent = Sent()
    theirs.connection_made(sent)  # type: ignore[arg-type]
    theirs.data_received(HEAD + line * (100_000 // len(line)) + b"\r\n")
    assert bytes(sent.data).startswith(b"HTTP/1.1 431")
    assert sent.is_closing()
    theirs.connection_lost(None)


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


@pytest.mark.parametrize(
    "pieces",
    [
        [b"0\r\nX-Sum: 1\r\n\r\n"],
        [b"0\r\n", b"X-Sum: 1"],
        [b"0\r\n", b"X", b"-Sum: 1"],
        [b"0\r\nX-Sum: ", b"1", b"11"],
    ],
)
async def test_trailers_are_refused(server: GatewayServer, pieces: list[bytes]) -> None:
    async with connected(server) as (reader, writer):
        writer.write(CHUNKED)
        for piece in pieces:
            await asyncio.sleep(0.05)
            writer.write(piece)
        head, body = (await reader.read()).split(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400")
    assert "trailers" in json.loads(body)["detail"]


@pytest.mark.parametrize("piece", [b"X: y\r\n" * 10_000, b"a" * 65_536])
async def test_endless_trailers_end_at_once(server: GatewayServer, piece: bytes) -> None:
    """Many of them, or one without an end."""
    async with connected(server) as (reader, writer):
        began = time.monotonic()
        writer.write(CHUNKED + b"0\r\nX: ")
        ended = asyncio.create_task(_cut(reader))
        while not ended.done():
            with contextlib.suppress(ConnectionError):
                writer.write(piece)
                await writer.drain()
            await asyncio.sleep(0)
        assert time.monotonic() - began < 2  # and not when the time for an upload is over


async def test_a_chunked_body_byte_by_byte_is_read(server: GatewayServer) -> None:
    async with connected(server) as (reader, writer):
        text = b"--b--\r\n"
        for byte in POST + b"Transfer-Encoding: chunked\r\n\r\n":
            writer.write(bytes([byte]))
        for byte in b"".join(b"1\r\n%c\r\n" % byte for byte in text) + b"0\r\n\r\n":
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)
        head = await reader.readuntil(b"\r\n\r\n")
        problem = json.loads(
            await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r")[0]))
        )
    assert problem["type"] == "/problems/missing-image"
    assert b"connection: close" not in head.lower()


async def test_endless_chunk_extensions_are_refused(server: GatewayServer) -> None:
    async with connected(server) as (reader, writer):
        writer.write(CHUNKED)
        ended = asyncio.create_task(_cut(reader))
        sent = 0
        while not ended.done() and sent < 100_000_000:
            writer.write(b"1;x=%s\r\n-\r\n" % (b"y" * 60_000))
            sent += 60_000
            await asyncio.sleep(0)
        assert sent < 100_000_000


@pytest.mark.parametrize(
    "sent", [b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n", b"Content-Length: 5\r\n\r\nx"]
)
async def test_a_body_that_nobody_reads_is_bounded_in_time(
    server: GatewayServer, app: FastAPI, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    @app.get("/slow")
    async def slow(request: Request) -> Response:
        while not await request.is_disconnected():  # noqa: ASYNC110  that is what reads
            await asyncio.sleep(0.05)
        return Response(b"there")

    monkeypatch.setattr(server.config, "body_within", 0.3)
    async with connected(server) as (reader, writer):
        writer.write(b"GET /slow HTTP/1.1\r\nHost: localhost\r\n")
        await asyncio.sleep(0.05)
        began = time.monotonic()
        writer.write(sent)
        await asyncio.sleep(0.05)
        writer.write(b"1")
        assert await _cut(reader) == b""
        assert time.monotonic() - began < 4


async def test_a_body_that_nobody_reads_is_bounded_in_bytes(server: GatewayServer, app: FastAPI) -> None:
    @app.get("/drained")
    async def drained(request: Request) -> Response:
        async for _ in request.stream():
            pass
        return Response(b"there")

    limit = server.config.most_body
    sent = 0
    async with connected(server) as (reader, writer):
        writer.write(b"GET /drained HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000000\r\n\r\n")
        ended = asyncio.create_task(_cut(reader))
        while not ended.done() and sent < 100_000_000:
            with contextlib.suppress(ConnectionError):
                writer.write(bytes(65_536))
                sent += 65_536
                await writer.drain()
        assert limit < sent < limit + 20_000_000


@pytest.mark.parametrize(
    "hosts", [b"Host: localhost\r\nHost: evil.example\r\n", b"host: a\r\nHOST: a\r\n", b""]
)
async def test_a_request_has_one_host(server: GatewayServer, hosts: bytes) -> None:
    async with connected(server) as (reader, writer):
        writer.write(b"GET /healthz HTTP/1.1\r\n" + hosts + b"\r\n")
        head, body = (await reader.read()).split(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400")
    assert "Host header" in json.loads(body)["detail"]


async def test_an_unreadable_request_is_not_answered_for_the_one_before(
    server: GatewayServer, app: FastAPI
) -> None:
    @app.get("/slow")
    async def slow() -> Response:
        await asyncio.sleep(1)
        return Response(b"there")

    async with connected(server) as (reader, writer):
        writer.write(b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\nnonsense\r\n\r\n")
        assert await _cut(reader) == b""


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
