"""HEAD answers wherever GET does: the same head, and no body."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

import httpx
from fastapi import FastAPI
from refstar_service.gateway.http.server import GatewayServer
from refstar_service.settings import Settings

Post = Callable[..., Awaitable[httpx.Response]]
Worker = Callable[..., AbstractAsyncContextManager[None]]
VARYING = {"x-request-id", "date"}


async def test_head_answers_wherever_get_does(
    app: FastAPI, client: httpx.AsyncClient, post: Post, worker: Worker, settings: Settings
) -> None:
    async with worker():
        made = (await post(headers={"Prefer": "wait=5"})).headers["location"]
    paths = [
        "/",
        "/docs",
        "/openapi.json",
        "/healthz",
        "/readyz",
        "/problems",
        "/problems/not-found",
        "/v1/models",
    ]
    paths += ["/v1/restorations", "/v1/people", made, f"{made}/image", f"{made}/selection", "/nowhere"]
    server = GatewayServer(app, settings.model_copy(update={"port": 0}), handle_signals=False)
    serving = asyncio.create_task(server.serve())
    await server.ready.wait()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}") as real:
        for asking in (client, real):
            for path in paths:
                got, head = await asking.get(path), await asking.head(path)
                assert head.status_code == got.status_code, path
                assert head.content == b""
                assert {name: value for name, value in head.headers.items() if name not in VARYING} == {
                    name: value for name, value in got.headers.items() if name not in VARYING
                }, path
    server.stop()
    await serving


async def test_head_of_an_event_stream_ends(client: httpx.AsyncClient, post: Post) -> None:
    made = (await post()).headers["location"]
    async with asyncio.timeout(2):
        answer = await client.head(f"{made}/events")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")


async def test_head_is_counted_as_what_it_is(client: httpx.AsyncClient) -> None:
    await client.head("/v1/models")
    line = 'refstar_http_requests_total{method="HEAD",route="/v1/models",status="200"} 1.0'
    assert line in (await client.get("/metrics")).text


async def test_head_where_there_is_no_get(client: httpx.AsyncClient) -> None:
    answer = await client.head(f"/v1/restorations/{'0' * 32}/cancel")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
