"""Gateway and worker while Redis is away at their start, is killed in the middle, hangs, and comes back."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import httpx
import numpy as np
import pytest
from fastapi import FastAPI
from inverting import Inverting
from pictures import file_of, pixels_of
from redis.asyncio import Redis
from redis_process import RedisProcess
from refstar_service.blobs import RedisBlobs
from refstar_service.engine.catalog import Catalog
from refstar_service.engine.manifest import ModelFile, ModelManifest
from refstar_service.engine.restorer import FaceTask
from refstar_service.gateway.app import create_app
from refstar_service.images import ImageLimits
from refstar_service.jobs import JobQueue, WorkerInfo
from refstar_service.metrics.registry import new_registry
from refstar_service.metrics.worker import WorkerMetrics
from refstar_service.redis import client as redis_client
from refstar_service.restoration.references import ReferenceMemory
from refstar_service.restoration.steps import Model, Viewer
from refstar_service.settings import Settings
from refstar_service.worker.files import JobFiles
from refstar_service.worker.pipeline import Worker

SIDE = 32
STALE_AFTER = 0.6  # seconds
WITHIN = 60.0  # seconds


class Service:
    """A gateway and a worker in this process, each with connections of its own, as `redis_client` makes them."""

    def __init__(self, url: str) -> None:
        self.clients: list[Redis] = [redis_client.connect(url) for _ in range(2)]
        self.queues = [JobQueue(redis, stale_after=STALE_AFTER) for redis in self.clients]
        graph = {"restore": ModelFile("restore.onnx", "ab" * 32)}
        model = ModelManifest(
            *(
                "refstar",
                "1",
                "refstar",
                "Apache-2.0",
                (),
                "0" * 40,
                SIDE,
                "fp32",
                8,
                False,
                graph,
                {},
                (),
                {},
            ),
            folder=Path("refstar"),
        )
        redis, queue = self.clients[0], self.queues[0]
        self.app: FastAPI = create_app(
            Settings(),
            queue=queue,
            blobs=RedisBlobs(redis),
            models=Catalog.of([model]),
            redis=redis,
            keys=None,
        )
        self.http = httpx.AsyncClient(
            transport=httpx.ASGITransport(app=self.app), base_url="http://localhost", timeout=30
        )
        self.restorer = Inverting()
        self.worker = Worker(
            self.queues[1],
            JobFiles(RedisBlobs(self.clients[1]), 600),
            {"refstar@1": Model(self.restorer, SIDE)},
            WorkerInfo("w", ("refstar",), "cpu", time.time()),
            metrics=WorkerMetrics.on(new_registry()),
            viewer=Viewer(None, ReferenceMemory(), ImageLimits()),
            max_batch=4,
            max_batch_pixels=10**8,
            picture_threads=1,
            defaults={"refstar": "refstar@1"},
        )
        self.stopping = asyncio.Event()
        self.running = asyncio.create_task(self.worker.run(self.stopping))

    async def post(self, level: int) -> httpx.Response:
        picture = file_of(np.full((SIDE, SIDE, 3), level, np.uint8))
        return await self.http.post(
            "/v1/restorations", data={"faces": "aligned"}, files=[("image", ("a.png", picture))]
        )

    async def result(self, link: str) -> tuple[int, int]:
        """The level of the result, and how many attempts it took."""
        async with asyncio.timeout(WITHIN):
            while True:
                answer = await self.http.get(link, headers={"Prefer": "wait=5"})
                if answer.status_code == 200 and answer.json()["status"] not in ("queued", "running"):
                    break
                await asyncio.sleep(0.05)
        assert answer.json()["status"] == "succeeded"
        picture = await self.http.get(f"{link}/image")
        return int(pixels_of(picture.content)[0, 0, 0]), answer.json()["attempts"]

    async def is_away(self) -> None:
        """Every way in answers 503 and says when to come back; the process itself is well."""
        for answer in (
            await self.post(1),
            await self.http.get(f"/v1/restorations/{'0' * 32}"),
            await self.http.get("/readyz"),
        ):
            assert answer.status_code == 503, answer.text
            assert int(answer.headers["retry-after"]) > 0
        assert (await self.http.get("/healthz")).status_code == 200
        assert not self.running.done()

    async def is_ready(self) -> None:
        async with asyncio.timeout(WITHIN):
            while (await self.http.get("/readyz")).status_code != 200:  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    async def end(self) -> None:
        self.stopping.set()
        await asyncio.wait_for(self.running, WITHIN)
        await self.http.aclose()
        for queue, client in zip(self.queues, self.clients, strict=True):
            await queue.aclose()
            await client.aclose()


@pytest.fixture
def server(tmp_path: Path) -> RedisProcess:
    """Not started."""
    return RedisProcess(tmp_path / "redis")


@pytest.fixture
async def service(server: RedisProcess, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Service]:
    monkeypatch.setattr("refstar_service.worker.pipeline.ANNOUNCE_EVERY", 0.2)
    monkeypatch.setattr(redis_client, "REDIS_TIMEOUT", 1.0)
    service = Service(server.url)
    yield service
    await service.end()
    server.kill()


async def test_away_at_the_start_killed_in_the_middle_and_back_again(
    server: RedisProcess, service: Service
) -> None:
    await service.is_away()
    server.start()
    await service.is_ready()
    first = await service.post(10)
    assert first.status_code == 202
    assert await service.result(first.headers["location"]) == (245, 1)

    loop, begun, go_on = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()

    def wait(tasks: Sequence[FaceTask]) -> None:
        loop.call_soon_threadsafe(begun.set)
        asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result()

    service.restorer.act = wait
    answers = [await service.post(level) for level in range(20, 32)]
    assert {answer.status_code for answer in answers} == {202}
    await begun.wait()  # some are in the model, some prefetched, some wait
    server.kill()
    await service.is_away()
    await asyncio.sleep(1.5 * STALE_AFTER)
    go_on.set()  # the results come while there is nowhere to put them
    await asyncio.sleep(0.2)
    server.start()
    await service.is_ready()
    results = [await service.result(answer.headers["location"]) for answer in answers]
    # Nothing accepted is lost, nothing is done twice, and the outage counts as nobody's attempt.
    assert results == [(255 - level, 1) for level in range(20, 32)]
    again = await service.post(40)
    assert await service.result(again.headers["location"]) == (215, 1)


async def test_a_redis_that_hangs_is_told_of_in_time_and_waited_for(
    server: RedisProcess, service: Service
) -> None:
    server.start()
    await service.is_ready()
    server.signal(signal.SIGSTOP)
    before = time.monotonic()
    answer = await service.post(5)
    assert answer.status_code == 503
    assert time.monotonic() - before < 15
    server.signal(signal.SIGCONT)
    await service.is_ready()
    again = await service.post(5)
    assert await service.result(again.headers["location"]) == (250, 1)
