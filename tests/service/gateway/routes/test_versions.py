"""Versions of a model in requests and answers: asked for by name, given to a share, done once more by a shadow."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from redis.asyncio import Redis
from refstar_service.access import ApiKey
from refstar_service.access.redis import RedisKeys
from refstar_service.blobs import RedisBlobs
from refstar_service.engine.catalog import Catalog
from refstar_service.gateway.app import create_app
from refstar_service.jobs import JobQueue, JobStatus, Priority, RestoreRequest
from refstar_service.jobs.request import shadow_id
from refstar_service.redis.keys import Keys
from refstar_service.settings import Settings

OLD, NEW = "refstar@1.0", "refstar@2.0"
Send = Callable[..., Awaitable[httpx.Response]]
Gateway = Callable[..., FastAPI]


@pytest.fixture
def gateway(settings: Settings, queue: JobQueue, blobs: RedisBlobs, models: Catalog, redis: Redis) -> Gateway:
    """A gateway with both versions and what is set of them."""
    newer = replace(models.versions[OLD], version="2.0")

    def make(**values: str) -> FastAPI:
        pinned = {"default_models": OLD} if "canary" in values or "shadow" in values else {}
        here = Settings.model_validate(settings.model_dump() | pinned | values)
        manifests = [*models.versions.values(), newer]
        catalog = Catalog.of(manifests, here.listed_default_models, here.held_back)
        keys = RedisKeys(redis) if here.access == "redis" else None
        return create_app(here, queue=queue, blobs=blobs, models=catalog, redis=redis, keys=keys)

    return make


@asynccontextmanager
async def asking(app: FastAPI, picture: Callable[..., bytes]) -> AsyncIterator[Send]:
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=20) as client:

        async def send(
            path: str = "", headers: dict[str, str] | None = None, **fields: str
        ) -> httpx.Response:
            if path:
                return await client.get(path, headers=headers)
            form = {"faces": "aligned", **fields}
            files = [("image", ("face.png", picture()))]
            return await client.post("/v1/restorations", data=form, files=files, headers=headers)

        yield send


async def request_of(queue: JobQueue, answer: httpx.Response) -> RestoreRequest:
    assert answer.status_code == 202, answer.text
    job = await queue.get(answer.json()["id"])
    assert job is not None
    assert isinstance(job.request, RestoreRequest)
    return job.request


async def test_a_request_gets_the_version_that_it_names(
    gateway: Gateway, picture: Callable[..., bytes], queue: JobQueue
) -> None:
    async with asking(gateway(), picture) as send:
        plain, exact = await send(model="refstar"), await send(model=OLD)
        assert [answer.json()["model"] for answer in (plain, exact)] == ["refstar", "refstar"]
        assert [answer.json()["model_version"] for answer in (plain, exact)] == ["2.0", "1.0"]
        recorded = [await request_of(queue, answer) for answer in (plain, exact)]
    # The default version goes by the plain name, which older workers know.
    assert [(one.model, one.version) for one in recorded] == [("refstar", "2.0"), (OLD, "1.0")]


async def test_an_unknown_version_is_refused_with_what_there_is(
    gateway: Gateway, picture: Callable[..., bytes], refused: Callable[..., Awaitable[dict[str, Any]]]
) -> None:
    async with asking(gateway(), picture) as send:
        problem = await refused(await send(model="refstar@3.0"), 422, "unknown-model")
    assert f"installed: ented, refstar, {NEW}, {OLD}." in problem["detail"]
    assert problem["models"] == ["ented", "refstar", NEW, OLD]


async def test_the_list_of_models_says_which_version_is_the_default(
    gateway: Gateway, picture: Callable[..., bytes]
) -> None:
    async with asking(gateway(canary=f"{NEW}:5"), picture) as send:
        listed = (await send("/v1/models")).json()["models"]
    shown = [(one["name"], one["version"], one["default"]) for one in listed]
    assert shown == [("ented", "1.0", True), ("refstar", "2.0", False), ("refstar", "1.0", True)]


async def test_a_canary_is_for_some_keys_always_the_same(
    gateway: Gateway, picture: Callable[..., bytes], queue: JobQueue, redis: Redis
) -> None:
    queue.limit = 100
    versions: dict[str, set[str]] = {}
    app = gateway(canary=f"{NEW}:50", access="redis")
    async with asking(app, picture) as send:
        for number in range(12):
            key, token = ApiKey(f"key{number}").with_token(1.0)
            await RedisKeys(redis).change(key.name, lambda _, key=key: key)  # type: ignore[misc]
            for _ in range(3):
                answer = await send(headers={"Authorization": f"Bearer {token}"}, model="refstar")
                versions.setdefault(key.name, set()).add(answer.json()["model_version"])
    assert all(len(seen) == 1 for seen in versions.values())
    assert set.union(*versions.values()) == {"1.0", "2.0"}


async def test_whoever_names_a_version_is_in_no_canary(
    gateway: Gateway, picture: Callable[..., bytes]
) -> None:
    async with asking(gateway(canary=f"{NEW}:100"), picture) as send:
        assert (await send(model="refstar")).json()["model_version"] == "2.0"
        assert (await send()).json()["model_version"] == "2.0"
        assert (await send(model=OLD)).json()["model_version"] == "1.0"


async def test_a_repeated_request_keeps_its_version_when_the_canary_has_ended(
    gateway: Gateway, picture: Callable[..., bytes]
) -> None:
    headers = {"Idempotency-Key": '"once"'}
    async with asking(gateway(canary=f"{NEW}:100"), picture) as send:
        first = (await send(headers=headers)).json()
    async with asking(gateway(canary="", default_models=OLD), picture) as send:
        again, other = (await send(headers=headers)).json(), (await send()).json()
    assert (first["id"], first["model_version"]) == (again["id"], "2.0")
    assert again["model_version"] == "2.0"
    assert other["model_version"] == "1.0"


async def test_the_canary_is_a_metric(gateway: Gateway, picture: Callable[..., bytes]) -> None:
    async with asking(gateway(canary=f"{NEW}:5"), picture) as send:
        metrics = (await send("/metrics")).text.splitlines()
    assert f'refstar_canary_percent{{default="{OLD}",model="{NEW}"}} 5.0' in metrics


async def test_a_shadow_is_recorded_where_the_header_asks_for_it(
    gateway: Gateway, picture: Callable[..., bytes], queue: JobQueue
) -> None:
    async with asking(gateway(shadow=f"{NEW}:0"), picture) as send:
        without, with_it = await send(), await send(headers={"Shadow-Model": NEW})
        assert (await request_of(queue, without)).shadow == ""
        recorded = await request_of(queue, with_it)
    assert (recorded.version, recorded.shadow) == ("1.0", NEW)
    assert sum((await queue.depth()).values()) == 2


async def test_pictures_that_are_named_by_url_have_no_shadow(
    gateway: Gateway, picture: Callable[..., bytes], queue: JobQueue
) -> None:
    """They are not stored, and whoever gave the URL expects one request."""
    async with asking(gateway(shadow=f"{NEW}:100"), picture) as send:
        answer = await send(reference_urls="https://example.org/ada.jpg")
        recorded = await request_of(queue, answer)
    assert (recorded.version, recorded.shadow) == ("1.0", "")


async def test_the_result_of_a_shadow_is_sent_nowhere(
    gateway: Gateway, picture: Callable[..., bytes], queue: JobQueue
) -> None:
    async with asking(gateway(shadow=f"{NEW}:100"), picture) as send:
        recorded = await request_of(queue, await send(output_url="https://example.org/put"))
    assert (recorded.output_url, recorded.shadow) == ("https://example.org/put", NEW)
    assert recorded.as_shadow("job").output_url == ""


async def test_a_shadow_that_the_operator_does_not_offer_is_refused(
    gateway: Gateway, picture: Callable[..., bytes], refused: Callable[..., Awaitable[dict[str, Any]]]
) -> None:
    async with asking(gateway(), picture) as send:
        problem = await refused(await send(headers={"Shadow-Model": NEW}), 422, "invalid-parameter")
    assert problem["errors"][0]["parameter"] == "Shadow-Model"


async def test_nobody_sees_a_shadow_and_it_is_deleted_with_its_restoration(
    gateway: Gateway, picture: Callable[..., bytes], queue: JobQueue, redis: Redis
) -> None:
    app = gateway(shadow=f"{NEW}:100")
    async with asking(app, picture) as send:
        job = (await send()).json()["id"]
        found = await queue.get(job)
        assert found is not None
        assert isinstance(found.request, RestoreRequest)
        name = shadow_id(job)
        await queue.submit(name, found.request.as_shadow(job), priority=Priority.SPARE, limit=9)
        assert (await send(f"/v1/restorations/{name}")).status_code == 404
        assert [one["id"] for one in (await send("/v1/restorations")).json()["restorations"]] == [job]
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            assert (await client.delete(f"/v1/restorations/{name}")).status_code == 204
            assert await queue.get(name) is not None
            assert (await client.delete(f"/v1/restorations/{job}")).status_code == 204
    assert await queue.get(name) is None
    assert await redis.keys("*blob*") == []
    assert await queue.reserve(9, block=0, spare=True) == []
    assert await redis.xlen(Keys().line(Priority.SPARE)) == 0


async def test_the_waiting_shadows_take_nothing_of_the_queues_limit(
    gateway: Gateway, picture: Callable[..., bytes], queue: JobQueue, settings: Settings
) -> None:
    async with asking(gateway(shadow=f"{NEW}:0"), picture) as send:
        first = await request_of(queue, await send(headers={"Shadow-Model": NEW}))
        for number in range(9):
            await queue.submit(shadow_id(f"{number}"), first.as_shadow("x"), priority=Priority.SPARE, limit=9)
        answers = [await send() for _ in range(settings.queue_limit)]
    assert [answer.status_code for answer in answers] == [202] * (settings.queue_limit - 1) + [429]
    assert all(line.depth <= settings.queue_limit for line in (await queue.survey()).values())
    assert JobStatus.QUEUED in {one.status for one in (await queue.jobs_of("", limit=9)).jobs}
