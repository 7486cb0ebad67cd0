"""Nobody locks out others: shares of what is held for long, connections that ask for nothing, revoked tokens."""

import asyncio
import contextlib
import resource
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis
from refstar_service.access import ApiKey
from refstar_service.access.redis import RedisKeys
from refstar_service.blobs import RedisBlobs
from refstar_service.engine.catalog import Catalog
from refstar_service.gateway.app import create_app
from refstar_service.gateway.http.server import GatewayServer
from refstar_service.gateway.http.shares import Shares, Shortage
from refstar_service.jobs import JobQueue
from refstar_service.settings import Settings

Serving = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]
Picture = Callable[..., bytes]
Token = Callable[[str], Awaitable[str]]


def test_keys_share_what_there_is_and_leave_some() -> None:
    shares = Shares(24)
    taken: dict[str, int] = {}
    for owner in ("a", "b", "c"):
        while shares.take(owner) is None:
            taken[owner] = taken.get(owner, 0) + 1
        assert shares.take(owner) is Shortage.OWN
    assert taken == {"a": 12, "b": 6, "c": 3}
    for _ in range(6):  # a lets go: who asks next gets an equal share
        shares.give_back("a")
    assert shares.take("a") is None
    assert shares.take("d") is None
    alone = Shares(2)
    assert [alone.take(""), alone.take(""), alone.take("")] == [None, None, Shortage.ALL]


@pytest.fixture
def serving(settings: Settings, queue: JobQueue, blobs: RedisBlobs, models: Catalog, redis: Redis) -> Serving:
    """A gateway with keys on a real socket, and a client of it."""

    @asynccontextmanager
    async def serve(**changes: Any) -> AsyncIterator[httpx.AsyncClient]:
        here = settings.model_copy(update={"port": 0, "shutdown_grace": 3, "access": "redis", **changes})
        keys = RedisKeys(redis) if here.access == "redis" else None
        app = create_app(here, queue=queue, blobs=blobs, models=models, redis=redis, keys=keys)
        server = GatewayServer(app, here, handle_signals=False)
        running = asyncio.create_task(server.serve())
        await server.ready.wait()
        url = f"http://127.0.0.1:{server.port}"
        try:
            limits = httpx.Limits(max_connections=None)
            async with httpx.AsyncClient(base_url=url, timeout=20, limits=limits) as client:
                yield client
        finally:
            server.stop()
            await running

    return serve


@pytest.fixture
def token(redis: Redis) -> Token:
    async def make(name: str) -> str:
        key, token = ApiKey(name).with_token(1.0)
        await RedisKeys(redis).change(name, lambda _: key)
        return token

    return make


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def submit(client: httpx.AsyncClient, picture: Picture, token: str) -> str:
    files = {"image": ("face.png", picture())}
    answer = await client.post(
        "/v1/restorations", data={"faces": "aligned"}, files=files, headers=bearer(token)
    )
    return answer.headers["location"]


async def test_one_key_cannot_take_every_event_stream(
    serving: Serving, picture: Picture, token: Token
) -> None:
    async with serving(max_event_streams=4) as client, AsyncExitStack() as streams:
        opened = {}
        for name in ("ada", "bob"):
            shown = await token(name)
            path = await submit(client, picture, shown)
            answers = []
            for _ in range(4):
                stream = client.stream("GET", f"{path}/events", headers=bearer(shown))
                answers.append(await streams.enter_async_context(stream))
            opened[name] = [answer.status_code for answer in answers]
        await answers[-1].aread()
    assert opened == {"ada": [200, 200, 503, 503], "bob": [200, 503, 503, 503]}
    problem = answers[-1].json()
    assert problem["type"] == "/problems/too-many-streams"
    assert "its share of the 4" in problem["detail"]


async def test_one_key_cannot_take_every_wait(serving: Serving, picture: Picture, token: Token) -> None:
    async with serving(max_waits=4) as client:
        ada, bob = await token("ada"), await token("bob")
        path, other = await submit(client, picture, ada), await submit(client, picture, bob)
        asked = bearer(ada) | {"Prefer": "wait=2"}
        waits = [asyncio.create_task(client.get(path, headers=asked)) for _ in range(4)]
        at_once, pending = await asyncio.wait(waits, timeout=1)
        assert (len(at_once), len(pending)) == (2, 2)
        for answer in [task.result() for task in at_once]:
            assert answer.status_code == 200  # how it stands, as if it had not asked to wait
            assert "preference-applied" not in answer.headers
        answer = await client.get(other, headers=bearer(bob) | {"Prefer": "wait=1"})
        assert answer.headers["preference-applied"] == "wait=1"
        for task in pending:
            assert (await task).headers["preference-applied"] == "wait=2"


async def test_one_key_cannot_have_every_request_in_progress(
    settings: Settings,
    queue: JobQueue,
    blobs: RedisBlobs,
    models: Catalog,
    redis: Redis,
    token: Token,
) -> None:
    here = settings.model_copy(update={"access": "redis", "max_connections": 16})
    app = create_app(here, queue=queue, blobs=blobs, models=models, redis=redis, keys=RedisKeys(redis))
    places = app.state.gateway.connections.requests
    ada, bob = await token("ada"), await token("bob")
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        for _ in range(20):  # each gives its place back, refused or not
            assert (await client.get("/v1/models", headers=bearer(ada))).status_code == 200
            assert (await client.get("/v1/restorations/none", headers=bearer(ada))).status_code == 404
        for _ in range(8):
            assert places.take("ada") is None
        answer = await client.get("/v1/models", headers=bearer(ada))
        assert (answer.status_code, answer.json()["type"]) == (503, "/problems/too-many-connections")
        assert "its share of 16" in answer.json()["detail"]
        assert (await client.get("/v1/models", headers=bearer(bob))).status_code == 200
        assert (places.held_by("ada"), places.held_by("bob")) == (8, 0)


async def test_a_revoked_token_ends_its_streams_and_waits_and_no_others(
    serving: Serving, picture: Picture, token: Token, redis: Redis
) -> None:
    async with serving() as client:
        ada, bob = await token("ada"), await token("bob")
        path, other = await submit(client, picture, ada), await submit(client, picture, bob)
        waiting = asyncio.create_task(client.get(path, headers=bearer(ada) | {"Prefer": "wait=20"}))
        others = asyncio.create_task(client.get(other, headers=bearer(bob) | {"Prefer": "wait=3"}))
        async with client.stream("GET", f"{path}/events", headers=bearer(ada)) as stream:
            lines = stream.aiter_lines()
            assert await anext(lines)
            await RedisKeys(redis).change("ada", lambda _: None)
            async with asyncio.timeout(2.5):
                async for _ in lines:
                    pass
                answer = await waiting
        assert (answer.status_code, answer.json()["type"]) == (401, "/problems/key-invalid")
        assert (await others).headers["preference-applied"] == "wait=3"


async def test_idle_connections_give_way_to_those_who_ask(serving: Serving) -> None:
    async with serving(access="open", max_connections=16) as client:
        here = client.base_url.host, client.base_url.port
        idle = [await asyncio.open_connection(*here) for _ in range(40)]
        for _ in range(5):
            assert (await client.get("/healthz")).status_code == 200
        closed = 0
        for reader, _ in idle:
            with contextlib.suppress(TimeoutError, ConnectionError):
                async with asyncio.timeout(0.05):
                    closed += await reader.read() == b""
        assert 40 - 16 <= closed < 40  # the oldest, and no more than must be
        assert all(not reader.at_eof() for reader, _ in idle[-10:])
        for _, writer in idle:
            writer.close()


async def test_busy_connections_give_way_to_nobody(serving: Serving, picture: Picture) -> None:
    async with serving(access="open", max_connections=16) as client:
        here = client.base_url.host, client.base_url.port
        busy = [await asyncio.open_connection(*here) for _ in range(16)]
        for _, writer in busy:
            writer.write(b"POST /v1/restorations HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n")
            writer.write(b"Content-Type: multipart/form-data; boundary=b\r\n\r\n")
        await asyncio.sleep(0.2)
        answered = sum(reader._buffer != b"" for reader, _ in busy)  # type: ignore[attr-defined]
        assert (
            answered == 14
        )  # two may upload in these tests; the others were told so, and are read to the end
        reader, writer = await asyncio.open_connection(*here)
        head = await reader.read()
        assert head.startswith(b"HTTP/1.1 503")
        assert b"too-many-connections" in head
        for _, other in [*busy, (reader, writer)]:
            other.close()


LIMITED = """
import resource, sys
hard = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_NOFILE, (100, hard))
from refstar_service.gateway.http.connections import allow_connections
print(allow_connections(int(sys.argv[2])), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


@pytest.mark.parametrize(
    ("hard", "wanted", "allowed", "soft"),
    [(256, 4096, 96, 256), (10_000, 1000, 1000, 2064), (256, 20, 20, 104)],
)
def test_the_limit_of_open_files_is_raised_and_kept(hard: int, wanted: int, allowed: int, soft: int) -> None:
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < hard:
        pytest.skip("this machine allows fewer files")
    command = [sys.executable, "-c", LIMITED, str(hard), str(wanted)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(allowed), str(soft)]
    assert ("ulimit -n" in done.stderr) == (allowed < wanted)
