"""`webhook_url`: promised only if the promise can be kept, and kept from the request to the receiver's door."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from redis.asyncio import Redis
from refstar_service.access import ApiKey
from refstar_service.access.key import new_webhook_secret
from refstar_service.access.redis import RedisKeys
from refstar_service.app.courier import build_courier
from refstar_service.jobs import JobFailure
from refstar_service.webhooks.notices import Notices
from webhook_receiver import Receiver

Post = Callable[..., Awaitable[httpx.Response]]
Refused = Callable[..., Awaitable[dict[str, Any]]]
Worker = Callable[..., AbstractAsyncContextManager[None]]
SECRET = new_webhook_secret()
URL = "https://hooks.example/done"


@pytest.fixture
def with_secret(app: FastAPI) -> None:
    settings = app.state.gateway.settings.model_copy(update={"webhook_secret": SECRET})
    app.state.gateway = replace(app.state.gateway, settings=settings)


async def test_without_a_secret_no_webhook_is_promised(post: Post, refused: Refused) -> None:
    await refused(await post(webhook_url=URL), 422, "webhooks-not-configured")


@pytest.mark.usefixtures("with_secret")
@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example/",
        "https://127.0.0.1/",
        "https://169.254.169.254/latest/meta-data/",
        "https://[::ffff:10.0.0.1]/",
        "https://user:password@hooks.example/",
        "javascript:alert(1)",
    ],
)
async def test_a_url_that_may_not_be_called_is_refused(post: Post, refused: Refused, url: str) -> None:
    problem = await refused(await post(webhook_url=url), 422, "webhook-url-refused")
    assert problem["parameter"] == "webhook_url"


@pytest.mark.usefixtures("with_secret")
async def test_a_url_too_long_is_refused(post: Post, refused: Refused) -> None:
    await refused(await post(webhook_url=URL + "x" * 2048), 422, "invalid-parameter")


@pytest.mark.usefixtures("with_secret")
async def test_an_endpoint_that_wants_no_more_is_not_promised_any(post: Post, redis: Redis) -> None:
    await Notices(redis).switch_off("", URL)
    answer = await post(webhook_url=URL)
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/webhook-url-gone")
    assert (await post(webhook_url=URL + "/other")).status_code == 202


@pytest.mark.usefixtures("with_secret")
async def test_no_more_webhooks_are_promised_than_may_be_owed(app: FastAPI, post: Post) -> None:
    settings = app.state.gateway.settings.model_copy(update={"webhook_backlog": 2})
    app.state.gateway = replace(app.state.gateway, settings=settings)
    for _ in range(2):
        accepted = await post(webhook_url=URL)
        await app.state.gateway.queue.cancel(accepted.json()["id"])
    answer = await post(webhook_url=URL)
    assert (answer.status_code, answer.json()["type"]) == (429, "/problems/too-many-webhooks")
    assert int(answer.headers["retry-after"]) > 0
    assert (await post()).status_code == 202


async def test_a_key_without_a_secret_has_no_webhooks(app: FastAPI, post: Post, redis: Redis) -> None:
    keys = RedisKeys(redis)
    key, token = ApiKey("ada").with_token(1.0)
    await keys.change("ada", lambda _: key)
    app.state.gateway = replace(app.state.gateway, keys=keys)
    headers = {"Authorization": f"Bearer {token}"}
    answer = await post(webhook_url=URL, headers=headers)
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/webhooks-not-configured")
    await keys.change("ada", lambda found: found and found.with_webhook_secret())
    assert (await post(webhook_url=URL, headers=headers)).status_code == 202


@pytest.mark.parametrize("failure", [None, JobFailure("no-face-found", "none")])
async def test_from_the_request_to_the_receiver(
    app: FastAPI, post: Post, worker: Worker, redis: Redis, failure: JobFailure | None
) -> None:
    receiver = Receiver()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    receiver.port = server.sockets[0].getsockname()[1]
    update = {"webhook_secret": SECRET, "webhook_networks": "127.0.0.0/8", "webhook_ports": "1-65535"}
    gateway = app.state.gateway
    settings = gateway.settings.model_copy(update=update)
    app.state.gateway = replace(gateway, settings=settings)
    courier = build_courier(settings, redis, gateway.queue, app.state.registry)
    assert courier is not None
    stopping = asyncio.Event()
    running = asyncio.create_task(courier.run(stopping))
    async with worker(*filter(None, [failure])):
        accepted = await post(webhook_url=receiver.url)
        (got,) = await receiver.got(1)
    stopping.set()
    await running
    server.close()
    assert got.signed_by(SECRET)
    assert got.headers["user-agent"].startswith("RefSTAR-Serve/")
    event = got.event
    assert event["type"] == ("restoration.failed" if failure else "restoration.succeeded")
    assert event["data"]["id"] == accepted.json()["id"]
    assert event["data"]["links"]["self"] == accepted.headers["location"]
