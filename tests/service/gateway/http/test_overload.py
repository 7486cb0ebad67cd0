"""A gateway whose neighbors are slow, full or away: it says so, says when to come back, and keeps nothing."""

import asyncio
import io
import logging
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from PIL import Image
from redis.asyncio import Redis
from redis_process import RedisProcess
from refstar_service.blobs import BlobsUnavailableError, RedisBlobs
from refstar_service.engine.catalog import Catalog
from refstar_service.jobs import Claim, JobQueue
from refstar_service.restoration.rollout import Rollout
from refstar_service.settings import Settings

Post = Callable[..., Awaitable[httpx.Response]]
Refused = Callable[..., Awaitable[dict[str, Any]]]
Picture = Callable[..., bytes]
FORM = {"Content-Type": "multipart/form-data; boundary=b"}
PART = b'--b\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n'


@pytest.mark.parametrize(("pause", "chunks"), [(1.0, 1), (0.04, 50)])
async def test_a_body_that_stalls_or_trickles_is_given_up(
    client: httpx.AsyncClient, app: FastAPI, settings: Settings, refused: Refused, pause: float, chunks: int
) -> None:
    hasty = settings.model_copy(update={"upload_timeout": 0.1})
    app.state.gateway = replace(app.state.gateway, settings=hasty)

    async def body() -> AsyncIterator[bytes]:
        yield PART
        for _ in range(chunks):
            await asyncio.sleep(pause)
            yield b"x"

    response = await client.post("/v1/restorations", content=body(), headers=FORM)
    await refused(response, 408, "upload-timeout")


async def test_uploads_beyond_the_memory_set_aside_are_refused(
    app: FastAPI, post: Post, refused: Refused
) -> None:
    gateway = app.state.gateway
    async with gateway.upload_slot(), gateway.upload_slot():
        response = await post()
    await refused(response, 503, "too-many-uploads")
    assert int(response.headers["retry-after"]) > 0
    assert (await post()).status_code == 202


async def test_a_full_queue_refuses_before_pictures_are_written(
    post: Post, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(5):
        assert (await post()).status_code == 202
    before = await redis.dbsize()
    monkeypatch.delattr(RedisBlobs, "put")
    response = await post()
    assert response.status_code == 429
    assert response.json()["type"] == "/problems/queue-full"
    assert int(response.headers["retry-after"]) > 0
    assert await redis.dbsize() == before


async def test_a_queue_that_fills_in_between_leaves_no_pictures(
    post: Post, queue: JobQueue, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = JobQueue.claim

    async def claim_the_last_place(self: JobQueue, job_id: str, **asked: Any) -> Claim:
        claimed = await claim(self, job_id, **asked)
        self.limit = 0
        return claimed

    monkeypatch.setattr(JobQueue, "claim", claim_the_last_place)
    await refused(await post(), 429, "queue-full")


async def test_a_job_over_the_byte_limit_is_refused_before_it_is_stored(
    post: Post, picture: Picture, queue: JobQueue, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.byte_limit = 20_000_000  # there may be 12 million and more of the first one's results
    assert (await post(image=("first.png", picture(2000, 2000)), faces="all")).status_code == 202
    monkeypatch.delattr(RedisBlobs, "put")
    before = set(await redis.keys())
    response = await post(image=("large.png", picture(2000, 2000)), faces="all")
    problem = response.json()
    assert (response.status_code, problem["type"]) == (429, "/problems/storage-full")
    assert set(await redis.keys()) == before
    assert "of 19.1 MiB are in use or reserved" in problem["detail"]
    assert (problem["limit"], problem["setting"]) == (20_000_000, "REFSTAR_STORAGE_BYTES")
    assert problem["used"] == problem["used_by_you"] > 12_000_000
    assert int(response.headers["retry-after"]) > 0


async def test_a_job_that_never_fits_is_not_to_be_sent_again(
    post: Post, picture: Picture, queue: JobQueue, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.byte_limit = 10_000_000  # an aligned picture of 512 x 512 pixels has at most one of 0.9 million
    monkeypatch.delattr(RedisBlobs, "put")
    response = await post(image=("large.png", picture(2000, 2000)), faces="all")
    problem = await refused(response, 413, "request-too-large")
    assert "one request may take 9.5 MiB" in problem["detail"]
    assert (problem["limit"], problem["setting"]) == (10_000_000, "REFSTAR_STORAGE_BYTES")
    assert "retry-after" not in response.headers


async def test_a_redis_that_fills_up_is_never_full_to_those_who_are_admitted(
    client: httpx.AsyncClient, post: Post, picture: Picture, queue: JobQueue, redis: Redis
) -> None:
    """Uploads all at once into little memory: some are told to come later, none meets an error, none is lost."""
    queue.limit, queue.memory_share = 1000, 0.8
    used, before = (
        (await redis.info("memory"))["used_memory"],
        (await redis.config_get("maxmemory"))["maxmemory"],
    )
    noise = Image.effect_noise((170, 170), 90).convert("RGB")
    buffer = io.BytesIO()
    noise.save(buffer, "PNG")
    await redis.config_set("maxmemory", used + 12 * 2**20)
    try:
        answers = []
        for _ in range(20):
            answers += await asyncio.gather(*(post(image=("noise.png", buffer.getvalue())) for _ in range(2)))
    finally:
        await redis.config_set("maxmemory", before)
    assert {answer.status_code for answer in answers} == {202, 429}
    assert "of memory are in use or reserved" in answers[-1].json()["detail"]
    for answer in answers:
        if answer.status_code == 202:
            job = await client.get(answer.headers["location"])
            assert job.json()["status"] == "queued"


async def test_a_redis_that_is_away(client: httpx.AsyncClient, post: Post, app: FastAPI) -> None:
    away = Redis.from_url("redis://127.0.0.1:1/0", retry=None)
    app.state.gateway = replace(app.state.gateway, queue=JobQueue(away), blobs=RedisBlobs(away))
    path = f"/v1/restorations/{'0' * 32}"
    for response in (
        await post(),
        await client.get(path),
        await client.get(path, headers={"Prefer": "wait=5"}),
        await client.get(f"{path}/image"),
        await client.post(f"{path}/cancel"),
        await client.delete(path),
    ):
        assert response.status_code == 503
        assert response.json()["type"] == "/problems/queue-unavailable"
        assert int(response.headers["retry-after"]) > 0
        assert "does not respond" in response.json()["detail"]


async def test_a_redis_out_of_memory(post: Post, redis: Redis) -> None:
    before = (await redis.config_get("maxmemory"))["maxmemory"]
    await redis.config_set("maxmemory", "1")
    try:
        response = await post()
    finally:
        await redis.config_set("maxmemory", before)
    assert response.status_code == 503
    assert response.json()["type"] == "/problems/queue-unavailable"
    assert "out of memory" in response.json()["detail"]
    assert not await redis.keys("*blob*")
    assert not await redis.keys("*job:*")


async def _failed_to_save(redis: Redis) -> None:
    while (await redis.info("persistence"))["rdb_last_bgsave_status"] == "ok":  # noqa: ASYNC110
        await asyncio.sleep(0.01)


async def test_a_redis_whose_disk_is_full_answers_and_refuses(
    post: Post, client: httpx.AsyncClient, app: FastAPI, tmp_path: Path
) -> None:
    with RedisProcess(tmp_path / "redis") as server:
        async with Redis.from_url(server.url) as redis:
            own = replace(app.state.gateway, queue=JobQueue(redis), blobs=RedisBlobs(redis))
            app.state.gateway = own
            accepted = (await post()).json()
            await redis.config_set("save", "3600 1")
            shutil.rmtree(server.folder)  # in a folder that is gone it cannot write either
            await redis.bgsave()
            async with asyncio.timeout(5):
                await _failed_to_save(redis)
            response = await post()
            read = await client.get(accepted["links"]["self"])
            await own.queue.aclose()
    assert (response.status_code, response.json()["type"]) == (503, "/problems/queue-unavailable")
    assert "cannot write to its disk" in response.json()["detail"]
    assert read.status_code == 200


async def test_a_full_disk_leaves_no_half_of_a_request(
    post: Post,
    picture: Picture,
    refused: Refused,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    redis: Redis,
) -> None:
    put = RedisBlobs.put
    written = []

    async def full_at_the_second(self: RedisBlobs, key: str, data: bytes, ttl_seconds: float) -> None:
        if key.endswith("reference-0"):
            raise BlobsUnavailableError("No space left on device")
        await asyncio.sleep(0.1)  # longer than the refusal takes
        await put(self, key, data, ttl_seconds)
        written.append(key)

    monkeypatch.setattr(RedisBlobs, "put", full_at_the_second)
    response = await post(references=[("r.png", picture())])
    await refused(response, 503, "storage-unavailable")
    assert "No space left" in caplog.text
    await asyncio.sleep(0.2)
    assert written
    assert not [key async for key in redis.scan_iter("*") if written[0] in key.decode()]


async def test_a_gateway_without_models(post: Post, app: FastAPI, refused: Refused) -> None:
    app.state.gateway = replace(app.state.gateway, rollout=Rollout(Catalog.of([]), {}, {}))
    await refused(await post(), 503, "no-model")


async def test_an_unexpected_error_shows_its_id_and_not_its_cause(
    client: httpx.AsyncClient,
    post: Post,
    refused: Refused,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(JobQueue, "submit", broken)
    with caplog.at_level(logging.ERROR):
        problem = await refused(await post(), 500, "internal-error")
    assert "secret" not in str(problem)
    assert "secret detail" in caplog.text
    assert problem["request_id"] in caplog.text
