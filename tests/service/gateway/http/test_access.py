"""Who may ask: keys, what belongs to others, limits."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from redis.asyncio import Redis
from refstar_service.access import ApiKey, Limits
from refstar_service.access.file import FileKeys
from refstar_service.access.redis import RedisKeys
from refstar_service.blobs import RedisBlobs
from refstar_service.engine.catalog import Catalog
from refstar_service.gateway.app import create_app
from refstar_service.jobs import JobQueue, Priority
from refstar_service.settings import Settings

Worker = Callable[..., AbstractAsyncContextManager[None]]
Picture = Callable[..., bytes]
Token = Callable[..., Awaitable[str]]
NOWHERE = "0" * 32
OPEN_TO_ALL = {"/healthz", "/readyz", "/metrics", "/problems", "/problems/{slug}"}


@pytest.fixture
def guarded(settings: Settings, queue: JobQueue, blobs: RedisBlobs, models: Catalog, redis: Redis) -> FastAPI:
    """A gateway that asks for keys."""
    here = settings.model_copy(update={"access": "redis"})
    return create_app(here, queue=queue, blobs=blobs, models=models, redis=redis, keys=RedisKeys(redis))


@pytest.fixture
async def outside(guarded: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client of it, which shows no key unless a test says so."""
    transport = httpx.ASGITransport(app=guarded)
    async with httpx.AsyncClient(transport=transport, base_url="https://faces.example", timeout=20) as client:
        yield client


@pytest.fixture
def token(redis: Redis) -> Token:
    """Makes a key and returns its token: `await token("ada", requests_per_minute=3)`."""

    async def make(name: str, **limits: int) -> str:
        key, token = ApiKey(name, limits=Limits(**limits)).with_token(1.0)
        await RedisKeys(redis).change(name, lambda _: key)
        return token

    return make


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def submit(client: httpx.AsyncClient, picture: Picture, token: str, **headers: str) -> httpx.Response:
    return await client.post(
        "/v1/restorations",
        data={"faces": "aligned"},
        files={"image": ("face.png", picture())},
        headers=bearer(token) | headers,
    )


async def test_high_priority_is_for_keys_that_may(
    outside: httpx.AsyncClient, picture: Picture, token: Token, redis: Redis, queue: JobQueue
) -> None:
    async def ask(token: str, priority: str) -> httpx.Response:
        form = {"faces": "aligned", "priority": priority}
        files = {"image": ("face.png", picture())}
        return await outside.post("/v1/restorations", data=form, files=files, headers=bearer(token))

    ada = await token("ada")
    refusal = await ask(ada, "high")
    assert (refusal.status_code, refusal.json()["type"]) == (403, "/problems/priority-not-permitted")
    assert refusal.json()["parameter"] == "priority"
    assert sum((await queue.depth()).values()) == 0
    assert (await ask(ada, "normal")).status_code == 202

    await RedisKeys(redis).change("ada", lambda key: key and replace(key, may_prioritize=True))
    assert (await ask(ada, "high")).status_code == 202
    assert (await queue.depth())[Priority.HIGH] == 1


def _v1_calls(app: FastAPI) -> list[tuple[str, str]]:
    document: dict[str, Any] = app.openapi()
    return [
        (method.upper(), path)
        for path, operations in document["paths"].items()
        if path.startswith("/v1/")
        for method in operations
    ]


async def test_nothing_under_v1_answers_without_a_key(
    guarded: FastAPI, outside: httpx.AsyncClient, redis: Redis
) -> None:
    calls = _v1_calls(guarded)
    assert len(calls) >= 8
    for method, path in calls:
        answer = await outside.request(method, path.replace("{", "").replace("}", ""))
        assert (answer.status_code, answer.json()["type"]) == (401, "/problems/key-required"), (method, path)
        assert answer.headers["www-authenticate"].startswith("Bearer")
    assert {path for path in guarded.openapi()["paths"] if not path.startswith("/v1/")} == OPEN_TO_ALL
    assert not await redis.keys("*:usage:*")


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": "Basic YTpi"},
        {"Authorization": "Bearer refstar"},
        {"Authorization": "Bearer refstar_0123456789abcdef_" + "A" * 43},
        {"Authorization": "Bearer " + "x" * 5000},
        {"Authorization": "Bearer refstar_*_" + "A" * 43},
        {"X-API-Key": "refstar_0123456789abcdef_" + "A" * 43},
    ],
)
async def test_what_is_no_key_is_refused(outside: httpx.AsyncClient, headers: dict[str, str]) -> None:
    answer = await outside.get("/v1/models", headers=headers)
    assert answer.status_code == 401
    assert answer.json()["type"] in ("/problems/key-required", "/problems/key-invalid")


async def test_a_key_of_another_secret_or_another_id_is_refused(
    outside: httpx.AsyncClient, token: Token
) -> None:
    ada, bob = await token("ada"), await token("bob")
    assert (await outside.get("/v1/models", headers=bearer(ada))).status_code == 200
    assert (await outside.get("/v1/models", headers={"X-API-Key": bob})).status_code == 200
    mixed = ada[:25] + bob[25:]
    for wrong in (mixed, ada[:-1] + ("A" if ada[-1] != "A" else "B"), ada.upper()):
        answer = await outside.get("/v1/models", headers=bearer(wrong))
        assert (answer.status_code, answer.json()["type"]) == (401, "/problems/key-invalid")


async def test_a_revoked_key_is_out_at_once(outside: httpx.AsyncClient, token: Token, redis: Redis) -> None:
    ada = await token("ada")
    assert (await outside.get("/v1/models", headers=bearer(ada))).status_code == 200
    await RedisKeys(redis).change("ada", lambda _: None)
    assert (await outside.get("/v1/models", headers=bearer(ada))).status_code == 401


async def test_what_belongs_to_others_is_not_there(
    outside: httpx.AsyncClient, token: Token, picture: Picture, worker: Worker, queue: JobQueue, redis: Redis
) -> None:
    ada, bob = await token("ada"), await token("bob")
    async with worker():
        made = await submit(outside, picture, ada, Prefer="wait=5")
    assert made.json()["status"] == "succeeded"
    path, nowhere = made.headers["location"], f"/v1/restorations/{NOWHERE}"
    for method, rest in (
        ("GET", ""),
        ("GET", "/image"),
        ("GET", "/selection"),
        ("POST", "/cancel"),
        ("GET", "/events"),
    ):
        theirs = await outside.request(method, path + rest, headers=bearer(bob))
        missing = await outside.request(method, nowhere + rest, headers=bearer(bob))
        assert theirs.status_code == missing.status_code == 404, (method, rest)
        assert theirs.json()["type"] == missing.json()["type"]
        assert theirs.json()["detail"].replace(made.json()["id"], NOWHERE) == missing.json()["detail"]
    assert (await outside.get("/v1/restorations", headers=bearer(bob))).json()["restorations"] == []

    before = await redis.dbsize()
    assert (
        await outside.delete(path, headers=bearer(bob))
    ).status_code == 204  # as for one that is not there
    assert await redis.dbsize() == before
    assert (await outside.get(path + "/image", headers=bearer(ada))).status_code == 200


async def test_how_long_an_answer_takes_does_not_tell_of_others(
    outside: httpx.AsyncClient, token: Token, picture: Picture
) -> None:
    made = await submit(outside, picture, await token("ada"))
    headers = bearer(await token("bob")) | {"Prefer": "wait=20"}
    async with asyncio.timeout(5):
        assert (await outside.get(made.headers["location"], headers=headers)).status_code == 404


async def test_two_tokens_of_one_key_see_the_same(
    outside: httpx.AsyncClient, token: Token, picture: Picture, redis: Redis
) -> None:
    first = await token("ada")
    made = await submit(outside, picture, first)
    second = ""

    def add(key: ApiKey | None) -> ApiKey:
        nonlocal second
        assert key is not None
        key, second = key.with_token(2.0)
        return key

    await RedisKeys(redis).change("ada", add)
    assert (await outside.get(made.headers["location"], headers=bearer(second))).status_code == 200


async def test_every_answer_says_what_is_left_and_the_last_one_when_to_come_back(
    outside: httpx.AsyncClient, token: Token
) -> None:
    ada = await token("ada", requests_per_minute=3)
    for left in (2, 1, 0):
        answer = await outside.get(f"/v1/restorations/{NOWHERE}", headers=bearer(ada))
        assert answer.status_code == 404
        assert answer.headers["ratelimit-policy"] == '"requests";q=3;w=60'
        assert answer.headers["ratelimit"] in (f'"requests";r={left};t=60', f'"requests";r={left};t=59')
    answer = await outside.get("/v1/models", headers=bearer(ada))
    problem = answer.json()
    assert (answer.status_code, problem["type"]) == (429, "/problems/quota-exceeded")
    assert problem["violated-policies"] == ["requests"]
    assert answer.headers["ratelimit"] == f'"requests";r=0;t={answer.headers["retry-after"]}'
    assert 0 < int(answer.headers["retry-after"]) <= 60
    assert (await outside.get("/v1/models", headers=bearer(await token("bob")))).status_code == 200


async def test_a_daily_quota_counts_what_was_accepted_and_nothing_else(
    outside: httpx.AsyncClient, token: Token, picture: Picture, queue: JobQueue, redis: Redis
) -> None:
    ada = await token("ada", restorations_per_day=2)
    assert (await outside.post("/v1/restorations", headers=bearer(ada))).status_code == 415
    limit, queue.limit = queue.limit, 0
    assert (await submit(outside, picture, ada)).json()["type"] == "/problems/queue-full"
    queue.limit = limit
    key = {"Idempotency-Key": '"once"'}
    first = await submit(outside, picture, ada, **key)
    assert first.headers["ratelimit"].startswith('"requests";r=2997')
    assert '"restorations";r=1;t=86400' in first.headers["ratelimit"]
    assert (await submit(outside, picture, ada, **key)).status_code == 202
    assert (await submit(outside, picture, ada)).status_code == 202
    refused = await submit(outside, picture, ada)
    assert (refused.status_code, refused.json()["violated-policies"]) == (429, ["restorations"])
    assert sum((await queue.depth()).values()) == 2
    assert len(await redis.keys("*blob*")) == 2


async def test_one_key_cannot_fill_the_queue(
    outside: httpx.AsyncClient, token: Token, picture: Picture
) -> None:
    ada = await token("ada", unfinished=2)
    first, _ = [await submit(outside, picture, ada) for _ in range(2)]
    refused = await submit(outside, picture, ada)
    assert (refused.status_code, refused.json()["type"]) == (429, "/problems/too-many-unfinished")
    assert int(refused.headers["retry-after"]) > 0
    assert (await submit(outside, picture, await token("bob"))).status_code == 202
    await outside.delete(first.headers["location"], headers=bearer(ada))
    assert (await submit(outside, picture, ada)).status_code == 202


async def test_one_key_cannot_take_all_places_for_uploads(
    outside: httpx.AsyncClient, guarded: FastAPI, token: Token, picture: Picture
) -> None:
    ada, bob = await token("ada"), await token("bob")
    async with guarded.state.gateway.upload_slot("ada"):  # of two places
        refused = await submit(outside, picture, ada)
        assert (refused.status_code, refused.json()["type"]) == (503, "/problems/too-many-uploads")
        assert (await submit(outside, picture, bob)).status_code == 202
    assert (await submit(outside, picture, ada)).status_code == 202


async def test_idempotency_keys_belong_to_the_api_key(
    outside: httpx.AsyncClient, token: Token, picture: Picture
) -> None:
    key = {"Idempotency-Key": '"same"'}
    ada, bob = await token("ada"), await token("bob")
    assert (await submit(outside, picture, ada, **key)).json()["id"] != (
        await submit(outside, picture, bob, **key)
    ).json()["id"]


async def test_without_redis_keys_cannot_be_checked_and_nobody_is_let_in(
    outside: httpx.AsyncClient, guarded: FastAPI, token: Token
) -> None:
    ada = await token("ada")
    away = RedisKeys(Redis.from_url("redis://127.0.0.1:1/0", retry=None))
    guarded.state.gateway = replace(guarded.state.gateway, keys=away)
    answer = await outside.get("/v1/models", headers=bearer(ada))
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/queue-unavailable")
    assert int(answer.headers["retry-after"]) > 0


async def test_a_folder_for_a_key_file_is_told_from_a_store_that_is_away(
    outside: httpx.AsyncClient,
    guarded: FastAPI,
    token: Token,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    ada = await token("ada")
    guarded.state.gateway = replace(guarded.state.gateway, keys=FileKeys(tmp_path))
    answer = await outside.get("/v1/models", headers=bearer(ada))
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/keys-unavailable")
    assert f"{tmp_path} cannot be read as a file of API keys" in caplog.text


async def test_a_full_redis_does_not_keep_a_key_from_its_results(
    outside: httpx.AsyncClient, token: Token, picture: Picture, worker: Worker, redis: Redis
) -> None:
    ada = await token("ada")
    async with worker():
        made = await submit(outside, picture, ada, Prefer="wait=5")
    before = (await redis.config_get("maxmemory"))["maxmemory"]
    await redis.config_set("maxmemory", "1")
    try:
        assert (await outside.get(made.json()["links"]["image"], headers=bearer(ada))).status_code == 200
        assert (await outside.delete(made.headers["location"], headers=bearer(ada))).status_code == 204
    finally:
        await redis.config_set("maxmemory", before)


async def test_keys_and_names_of_files_are_not_in_the_logs(
    outside: httpx.AsyncClient, token: Token, picture: Picture, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    ada = await token("ada")
    await submit(outside, picture, ada)
    await outside.get("/v1/models", headers=bearer(ada + "x"))
    await outside.get("/v1/models", headers={"X-API-Key": ada})
    written = caplog.text + "".join(str(vars(record)) for record in caplog.records)
    assert "/v1/models" in written
    assert ada[25:] not in written
    assert "face.png" not in written


async def test_openapi_says_that_keys_are_asked_for(
    outside: httpx.AsyncClient, client: httpx.AsyncClient
) -> None:
    document = (await outside.get("/openapi.json")).json()
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert ("security" in operation) == path.startswith("/v1/"), path
    assert "securitySchemes" not in (await client.get("/openapi.json")).json()["components"]


async def test_with_keys_any_host_and_any_page_may_ask(outside: httpx.AsyncClient, token: Token) -> None:
    headers = bearer(await token("ada")) | {"Origin": "https://app.example", "Sec-Fetch-Site": "cross-site"}
    answer = await outside.delete(f"/v1/restorations/{NOWHERE}", headers=headers)
    assert answer.status_code == 204
    assert "access-control-allow-origin" not in answer.headers
