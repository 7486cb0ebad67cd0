"""Server-sent events over a real socket: changes, reconnections, restarts, stops, and Redis going away."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis
from redis_process import RedisProcess
from refstar_service.blobs import RedisBlobs
from refstar_service.engine.catalog import Catalog
from refstar_service.gateway.app import create_app
from refstar_service.gateway.http.server import GatewayServer
from refstar_service.gateway.routes import events
from refstar_service.jobs import JobQueue, Outcome, Progress, RestoreRequest, Stage
from refstar_service.redis.client import connect
from refstar_service.settings import Settings

Post = Callable[..., Awaitable[httpx.Response]]
Worker = Callable[..., AbstractAsyncContextManager[None]]
NewGateway = Callable[..., AbstractAsyncContextManager[GatewayServer]]


@dataclass(frozen=True)
class Event:
    name: str
    id: str
    data: dict[str, Any]


class Listener:
    """An EventSource, as far as it matters here."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.comments = 0
        self.retry = 0
        self._lines = response.aiter_lines()

    async def next(self, within: float = 5.0) -> Event | None:
        """The next event; None at the end of the stream."""
        name, event_id, data = "message", "", ""
        async with asyncio.timeout(within):
            async for line in self._lines:
                field, _, value = line.partition(":")
                if not line:
                    assert data, "an event without data"
                    return Event(name, event_id, json.loads(data))
                self.comments += line.startswith(":")
                match field:
                    case "event":
                        name = value.strip()
                    case "id":
                        event_id = value.strip()
                    case "data":
                        data += value.strip()
                    case "retry":
                        self.retry = int(value)
        return None

    async def rest(self) -> list[Event]:
        found = []
        while (event := await self.next()) is not None:
            found.append(event)
        return found


@pytest.fixture
def gateway(
    settings: Settings,
    new_queue: Callable[..., JobQueue],
    blobs: RedisBlobs,
    models: Catalog,
    redis: Redis,
) -> NewGateway:
    """Starts a gateway of its own, as another process would be."""

    @asynccontextmanager
    async def run(**changes: Any) -> AsyncIterator[GatewayServer]:
        here = settings.model_copy(update={"port": 0, "shutdown_grace": 8, **changes})
        app = create_app(here, queue=new_queue(limit=5), blobs=blobs, models=models, redis=redis)
        server = GatewayServer(app, here, handle_signals=False)
        serving = asyncio.create_task(server.serve())
        await server.ready.wait()
        try:
            yield server
        finally:
            server.stop()
            await serving

    return run


@asynccontextmanager
async def listening(server: GatewayServer, path: str, last: str | None = None) -> AsyncIterator[Listener]:
    headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last} if last else {})
    async with (
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", timeout=10) as client,
        client.stream("GET", f"{path}/events", headers=headers) as response,
    ):
        yield Listener(response)


async def test_a_listener_hears_how_it_stands_and_every_change_until_the_end(
    gateway: NewGateway, post: Post, queue: JobQueue, success: Outcome, client: httpx.AsyncClient
) -> None:
    path = (await post()).headers["location"]
    async with gateway() as server, listening(server, path) as listener:
        assert listener.response.headers["content-type"].startswith("text/event-stream")
        assert listener.response.headers["cache-control"] == "no-store"
        queued = await listener.next()
        assert queued is not None
        assert (queued.name, queued.data["status"], queued.data["queue_position"]) == ("message", "queued", 0)
        assert listener.retry == 1000
        [started] = await queue.start(await queue.reserve(1))
        running = await listener.next()
        assert running is not None
        assert (running.data["status"], running.data["queue_position"]) == ("running", None)
        assert started is not None
        began = time.monotonic()
        await queue.finish([(started, success)])
        ended = await listener.next()
        assert time.monotonic() - began < 1.9, "it is told at once, not at the next look"
        assert ended is not None
        assert ended.data == (await client.get(path)).json()
        assert ended.data["status"] == "succeeded"
        assert await listener.next() is None, "the end closes the stream"
    assert len({queued.id, running.id, ended.id}) == 3


async def test_progress_is_an_event_of_its_own_and_comes_once(
    gateway: NewGateway, post: Post, queue: JobQueue, success: Outcome, client: httpx.AsyncClient
) -> None:
    path = (await post()).headers["location"]
    [started] = await queue.start(await queue.reserve(1))
    assert started is not None
    told = [Progress(Stage.PREPARING), Progress(Stage.RESTORING, 0, 2), Progress(Stage.RESTORING, 1, 2)]
    async with gateway() as server:
        async with listening(server, path) as listener:
            events = [await listener.next()]
            for progress in told:
                await queue.report([(started, progress)])
                events.append(await listener.next())
                await queue.report([(started, progress)])  # the same again is no news
        found = [event.data["progress"] for event in events if event]
        assert found == [
            None,
            {"stage": "preparing", "faces_done": 0, "faces": None},
            {"stage": "restoring", "faces_done": 0, "faces": 2},
            {"stage": "restoring", "faces_done": 1, "faces": 2},
        ]
        assert len({event.id for event in events if event}) == 4
        last = events[-1]
        assert last is not None
        assert last.data == (await client.get(path)).json()
        async with listening(server, path, last.id) as listener:
            await queue.finish([(started, success)])
            ended = await listener.next()
    assert ended is not None
    assert (ended.data["status"], ended.data["progress"]) == ("succeeded", None)


async def test_who_comes_back_hears_only_what_is_new_also_from_another_gateway(
    gateway: NewGateway, post: Post, queue: JobQueue, success: Outcome
) -> None:
    path = (await post()).headers["location"]
    async with gateway() as server, listening(server, path) as listener:
        first = await listener.next()
        assert first is not None
    # This gateway is gone; meanwhile a worker begins.
    [started] = await queue.start(await queue.reserve(1))
    assert started is not None
    async with gateway() as server:
        async with listening(server, path, first.id) as listener:
            second = await listener.next()
            assert second is not None
            assert second.data["status"] == "running"
        async with listening(server, path, second.id) as listener:
            with pytest.raises(TimeoutError):
                await listener.next(within=0.3)
        async with listening(server, path, second.id) as listener:
            hearing = asyncio.create_task(listener.rest())
            await asyncio.sleep(0.1)
            await queue.finish([(started, success)])
            [last] = await hearing
            assert last.data["status"] == "succeeded"
        async with listening(server, path, second.id) as listener:
            assert await listener.rest() == [last], "what was missed is told later"
        async with listening(server, path, last.id) as listener:
            assert listener.response.status_code == 204, "browsers do not come back after that"


async def test_steps_forward_in_the_queue_are_told(
    gateway: NewGateway, post: Post, queue: JobQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "MOVES_EVERY", 0.1)
    monkeypatch.setattr("refstar_service.gateway.http.streams.FRESH", 0.05)
    await post()
    path = (await post()).headers["location"]
    async with gateway() as server, listening(server, path) as listener:
        first = await listener.next()
        await queue.start(await queue.reserve(1))
        second = await listener.next()
        assert first is not None
        assert second is not None
        assert (first.data["queue_position"], second.data["queue_position"]) == (1, 0)
        assert first.id != second.id


@pytest.mark.parametrize("act", ["cancel", "delete"])
async def test_a_cancel_and_a_delete_end_the_stream(
    gateway: NewGateway, post: Post, client: httpx.AsyncClient, act: str
) -> None:
    path = (await post()).headers["location"]
    async with gateway() as server, listening(server, path) as listener:
        await listener.next()
        if act == "cancel":
            await client.post(f"{path}/cancel")
        else:
            await client.delete(path)
        [last] = await listener.rest()
    if act == "cancel":
        assert (last.name, last.data["status"]) == ("message", "canceled")
    else:
        assert (last.name, last.data) == ("deleted", {})


async def test_many_listeners_cost_redis_one_subscription_a_gateway(
    gateway: NewGateway, post: Post, redis: Redis, queue: JobQueue
) -> None:
    paths = [(await post()).headers["location"] for _ in range(3)]
    async with gateway() as server:
        streams = [listening(server, path) for path in paths * 5]
        listeners = [await stream.__aenter__() for stream in streams]
        assert [(await one.next()) is not None for one in listeners] == [True] * 15
        [(_, subscribers)] = await redis.pubsub_numsub("{refstar}:changes")
        assert subscribers == 1
        async with httpx.AsyncClient() as client:
            metrics = (await client.get(f"http://127.0.0.1:{server.port}/metrics")).text
            assert "refstar_event_streams 15.0" in metrics.splitlines()
            for path in paths:
                await queue.cancel(path.rsplit("/", 1)[1])
            for one in listeners:
                assert [event.data["status"] for event in await one.rest()] == ["canceled"]
            for stream in streams:
                await stream.__aexit__(None, None, None)
            metrics = (await client.get(f"http://127.0.0.1:{server.port}/metrics")).text
            assert "refstar_event_streams 0.0" in metrics.splitlines()


async def test_a_stop_does_not_hang_on_open_streams(gateway: NewGateway, post: Post) -> None:
    path = (await post()).headers["location"]
    async with gateway(shutdown_grace=30) as server, listening(server, path) as listener:
        await listener.next()
        began = time.monotonic()
        server.stop()
        assert await listener.rest() == []
    assert time.monotonic() - began < 10


async def test_a_client_that_leaves_is_forgotten(gateway: NewGateway, post: Post) -> None:
    path = (await post()).headers["location"]
    async with gateway() as server:
        async with listening(server, path) as listener:
            await listener.next()
            app: Any = server.config.app
            streams = app.state.gateway.streams
            assert streams._open.total() == 1
        async with asyncio.timeout(10):
            while streams._open:  # noqa: ASYNC110  nothing tells of it
                await asyncio.sleep(0.01)


async def test_a_silent_stream_shows_that_it_lives(
    gateway: NewGateway, post: Post, queue: JobQueue, success: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "HEARTBEAT", 0.1)
    path = (await post()).headers["location"]
    [started] = await queue.start(await queue.reserve(1))
    assert started is not None
    async with gateway() as server, listening(server, path) as listener:
        await listener.next()
        hearing = asyncio.create_task(listener.rest())
        await asyncio.sleep(0.5)
        await queue.finish([(started, success)])
        await hearing
        assert 2 <= listener.comments <= 6


async def test_a_stream_outlives_a_redis_that_is_killed_and_started_again(
    tmp_path: Path,
    settings: Settings,
    models: Catalog,
    request_for_jobs: RestoreRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(events, "AWAY", 0.1)
    monkeypatch.setattr(events, "MOVES_EVERY", 0.1)
    with RedisProcess(tmp_path) as redis_process:
        async with connect(redis_process.url) as redis, connect(redis_process.url) as elsewhere:
            queue, other = JobQueue(redis), JobQueue(elsewhere)
            await other.submit("one", request_for_jobs)
            here = settings.model_copy(update={"port": 0})
            app = create_app(here, queue=queue, blobs=RedisBlobs(redis), models=models, redis=redis)
            server = GatewayServer(app, here, handle_signals=False)
            serving = asyncio.create_task(server.serve())
            await server.ready.wait()
            async with listening(server, "/v1/restorations/one") as listener:
                assert await listener.next() is not None
                redis_process.kill()
                await asyncio.sleep(0.5)
                await asyncio.to_thread(redis_process.start)
                await other.cancel("one")
                [last] = await listener.rest()
                assert last.data["status"] == "canceled"
            server.stop()
            await serving
            await queue.aclose()
            await other.aclose()


async def test_more_streams_than_there_are_places_are_refused(gateway: NewGateway, post: Post) -> None:
    path = (await post()).headers["location"]
    async with gateway(max_event_streams=1) as server, listening(server, path) as listener:
        await listener.next()
        async with listening(server, path) as second:
            assert second.response.status_code == 503
            problem = json.loads(await second.response.aread())
            assert (problem["type"], second.response.headers["retry-after"]) == (
                "/problems/too-many-streams",
                "5",
            )


async def test_a_stream_of_what_is_not_there_is_a_problem(client: httpx.AsyncClient) -> None:
    for job_id in ("0" * 32, "{x}"):
        response = await client.get(f"/v1/restorations/{job_id}/events")
        assert (response.status_code, response.json()["type"]) == (404, "/problems/unknown-restoration")
