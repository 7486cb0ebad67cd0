"""The gateway behind a real socket: endless bodies, clients that leave, and a quick end."""

import asyncio
import json
import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Callable

import httpx
import pytest
from fastapi import FastAPI
from refstar_service.gateway.http import edge
from refstar_service.gateway.http.server import GatewayServer
from refstar_service.jobs import JobQueue
from refstar_service.settings import Settings

Picture = Callable[..., bytes]
HEAD = (
    b"POST /v1/restorations HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n"
)
PART = b'--b\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n'


@pytest.fixture
async def server(app: FastAPI, settings: Settings) -> AsyncIterator[GatewayServer]:
    here = settings.model_copy(update={"port": 0, "shutdown_grace": 8})
    server = GatewayServer(app, here, handle_signals=False)
    serving = asyncio.create_task(server.serve())
    await server.ready.wait()
    yield server
    server.stop()
    await serving


@pytest.fixture
def url(server: GatewayServer) -> str:
    return f"http://127.0.0.1:{server.port}"


async def _submit(client: httpx.AsyncClient, picture: Picture) -> str:
    response = await client.post(
        "/v1/restorations", data={"faces": "aligned"}, files={"image": ("face.png", picture())}
    )
    return response.headers["location"]


async def test_an_endless_chunked_body_is_cut_off_and_told_why(
    server: GatewayServer, settings: Settings, queue: JobQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge, "LINGER", 0.3)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    sent = 0

    async def pour() -> None:
        nonlocal sent
        writer.write(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        writer.write(b"%x\r\n%s\r\n" % (len(PART), PART))
        block = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        while sent < 10 * 10**9:
            writer.write(block)
            await writer.drain()
            sent += 0x10000

    pouring = asyncio.create_task(pour())
    async with asyncio.timeout(10):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        problem = json.loads(await reader.readexactly(int(head.split("content-length: ")[1].split("\r")[0])))
        with pytest.raises(ConnectionError):
            await pouring
    assert "413" in head.splitlines()[0]
    assert "connection: close" in head
    assert problem["type"] == "/problems/image-too-many-bytes"
    assert sent < 10**9
    assert sum((await queue.depth()).values()) == 0
    writer.close()


async def test_a_declared_giant_is_refused_before_its_body_is_asked_for(server: GatewayServer) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(HEAD + b"Content-Length: 10000000000\r\nExpect: 100-continue\r\n\r\n")
    async with asyncio.timeout(5):
        status = await reader.readline()
    assert b"413" in status  # and no "100 Continue" before it
    writer.close()


async def test_a_stop_answers_those_who_wait(url: str, server: GatewayServer, picture: Picture) -> None:
    async with httpx.AsyncClient(base_url=url) as client:
        path = await _submit(client, picture)
        waiting = asyncio.create_task(client.get(path, headers={"Prefer": "wait=60"}, timeout=60))
        await asyncio.sleep(0.2)
        began = time.perf_counter()
        server.stop()
        response = await waiting
    assert response.json()["status"] == "queued"
    assert time.perf_counter() - began < 5


async def test_a_client_that_leaves_ends_its_wait(
    url: str, picture: Picture, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, edge.__name__)
    async with httpx.AsyncClient(base_url=url) as client:
        path = await _submit(client, picture)
        with pytest.raises(httpx.ReadTimeout):
            await client.get(path, headers={"Prefer": "wait=60"}, timeout=0.2)
    async with asyncio.timeout(10):
        while f"GET {path} 499" not in caplog.text:  # noqa: ASYNC110  only the log tells
            await asyncio.sleep(0.01)


async def test_a_path_cannot_forge_a_log_line(url: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, edge.__name__)
    async with httpx.AsyncClient(base_url=url) as client:
        assert (await client.get("/a%0AGET%20/admin%20200")).status_code == 404
    assert "GET /a%0AGET%20/admin%20200 404" in caplog.text


async def test_a_port_that_is_taken_is_an_error_and_not_an_exit(
    server: GatewayServer, app: FastAPI, settings: Settings
) -> None:
    second = GatewayServer(app, settings.model_copy(update={"port": server.port}), handle_signals=False)
    with pytest.raises(RuntimeError, match=f"127.0.0.1:{server.port}"):
        await second.serve()


async def test_sigterm_ends_it_with_open_waits(
    app: FastAPI, settings: Settings, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # uvicorn raises the signal again when it has ended; here that would end the tests.
    caught: list[int] = []
    monkeypatch.setattr(signal, "raise_signal", caught.append)
    server = GatewayServer(app, settings.model_copy(update={"port": 0}))
    serving = asyncio.create_task(server.serve())
    await server.ready.wait()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}") as client:
        path = await _submit(client, picture)
        waiting = asyncio.create_task(client.get(path, headers={"Prefer": "wait=60"}, timeout=60))
        await asyncio.sleep(0.2)
        os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(3):
            assert (await waiting).json()["status"] == "queued"
            await serving
    assert caught == [signal.SIGTERM]
