"""Names that the service answers to, and pages of other origins that may use it."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis
from refstar_service.access.redis import RedisKeys
from refstar_service.blobs import RedisBlobs
from refstar_service.engine.catalog import Catalog
from refstar_service.gateway.app import create_app
from refstar_service.jobs import JobQueue
from refstar_service.settings import Settings

Asking = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]
PAGE = "https://app.example"
EVERYWHERE = ("/", "/docs", "/openapi.json", "/metrics", "/readyz", "/problems", "/v1/models", "/nowhere")


@pytest.fixture
def asking(settings: Settings, queue: JobQueue, blobs: RedisBlobs, models: Catalog, redis: Redis) -> Asking:
    """A client of a gateway with these settings."""

    @asynccontextmanager
    async def ask(**changes: Any) -> AsyncIterator[httpx.AsyncClient]:
        here = settings.model_copy(update=changes)
        keys = None if here.access == "open" else RedisKeys(redis)
        app = create_app(here, queue=queue, blobs=blobs, models=models, redis=redis, keys=keys)
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            yield client

    return ask


@pytest.mark.parametrize("open_to_network", [False, True])
async def test_open_mode_answers_no_name_of_somebody_else_s_anywhere(
    asking: Asking, open_to_network: bool
) -> None:
    async with asking(open_to_network=open_to_network, host="0.0.0.0") as client:
        for path in EVERYWHERE:
            answer = await client.get(path, headers={"Host": "evil.example"})
            assert (answer.status_code, answer.json()["type"]) == (421, "/problems/wrong-host"), path
            assert answer.headers["x-request-id"] == answer.json()["request_id"]
        assert (await client.get("/healthz", headers={"Host": "balancer"})).status_code == 200
        for host in ("localhost:8000", "127.0.0.1", "[::1]:8000", "192.168.1.5:8000"):
            assert (await client.get("/openapi.json", headers={"Host": host})).status_code == 200


async def test_names_that_are_listed_are_answered_to(asking: Asking) -> None:
    async with asking(host_names="Faces.example, gateway", host="printer.lan") as client:
        for host in ("faces.example", "FACES.example.:443", "gateway:8000", "printer.lan", "localhost"):
            assert (await client.get("/v1/models", headers={"Host": host})).status_code == 200, host
        for host in ("a.faces.example", "faces.example.evil", "faces.example@evil", "gateway/"):
            assert (await client.get("/v1/models", headers={"Host": host})).status_code == 421, host


async def test_with_keys_names_count_once_they_are_listed(asking: Asking) -> None:
    async with asking(access="redis") as client:
        assert (await client.get("/readyz", headers={"Host": "any.example"})).status_code == 503
        assert (await client.get("/v1/models", headers={"Host": "any.example"})).status_code == 401
    async with asking(access="redis", host_names="faces.example") as client:
        assert (await client.get("/v1/models", headers={"Host": "any.example"})).status_code == 421
        assert (await client.get("/v1/models", headers={"Host": "faces.example"})).status_code == 401


async def test_a_page_of_a_listed_origin_may_use_the_service(
    asking: Asking, picture: Callable[..., bytes]
) -> None:
    async with asking(cors_origins=f"{PAGE}, http://localhost:3000") as client:
        preflight = await client.options(
            "/v1/restorations",
            headers={
                "Origin": PAGE,
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "authorization,idempotency-key,prefer",
            },
        )
        assert preflight.status_code == 200
        assert preflight.headers["access-control-allow-origin"] == PAGE
        answer = await client.post(
            "/v1/restorations",
            data={"faces": "aligned"},
            files={"image": ("face.png", picture())},
            headers={"Origin": PAGE, "Sec-Fetch-Site": "cross-site"},
        )
        assert answer.status_code == 202
        assert answer.headers["access-control-allow-origin"] == PAGE
        assert "Location" in answer.headers["access-control-expose-headers"]
        assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "https://app.example:444", "http://app.example"]
)
async def test_a_page_of_another_origin_may_not(asking: Asking, origin: str) -> None:
    async with asking(cors_origins=PAGE) as client:
        ask = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        preflight = await client.options("/v1/restorations", headers=ask)
        assert preflight.status_code == 400
        assert "access-control-allow-origin" not in preflight.headers
        answer = await client.post("/v1/restorations", headers={"Origin": origin})
        assert (answer.status_code, answer.json()["type"]) == (403, "/problems/cross-site-request")
        assert "access-control-allow-origin" not in answer.headers


async def test_without_the_setting_no_origin_is_allowed(asking: Asking) -> None:
    async with asking(access="redis") as client:
        answer = await client.get("/v1/models", headers={"Origin": PAGE})
    assert "access-control-allow-origin" not in answer.headers
