"""What operators see: health, metrics, models, the catalog of problems, the description, the headers."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, HTTPException
from redis.asyncio import Redis
from refstar_service.blobs import DirectoryBlobs
from refstar_service.engine.catalog import Catalog
from refstar_service.gateway.http import store_check
from refstar_service.gateway.http.problem_types import ProblemType
from refstar_service.gateway.http.store_check import StoreCheck
from refstar_service.images import OUTPUT_FORMATS, RefusalCode
from refstar_service.jobs import JobQueue, WorkerInfo
from refstar_service.restoration.knobs import KNOBS
from refstar_service.restoration.rollout import Rollout

Post = Callable[..., Awaitable[httpx.Response]]
Worker = Callable[..., AbstractAsyncContextManager[None]]


@pytest.fixture
def without_redis(app: FastAPI) -> None:
    away = Redis.from_url("redis://127.0.0.1:1/0", retry=None)
    app.state.gateway = replace(app.state.gateway, queue=JobQueue(away))


async def test_ready_once_a_worker_is_there(client: httpx.AsyncClient, queue: JobQueue, app: FastAPI) -> None:
    response = await client.get("/readyz")
    assert (response.status_code, response.json()["detail"]) == (503, "No worker is running.")
    await queue.announce_worker(WorkerInfo("w0", ("other",), "cpu", 0.0), 10)
    response = await client.get("/readyz")
    assert response.status_code == 503
    assert response.json()["detail"] == "No running worker has any of this gateway's models: ented, refstar."
    await queue.announce_worker(WorkerInfo("w1", ("refstar",), "cpu", 0.0), 10)
    response = await client.get("/readyz")
    assert (response.status_code, response.json()) == (200, {"status": "ready", "workers": ["w1"]})
    app.state.gateway.stopping.set()
    response = await client.get("/readyz")
    assert (response.status_code, response.json()["detail"]) == (503, "The service is stopping.")


async def test_not_ready_without_models(client: httpx.AsyncClient, app: FastAPI) -> None:
    app.state.gateway = replace(app.state.gateway, rollout=Rollout(Catalog.of([]), {}, {}))
    assert (await client.get("/readyz")).json()["detail"] == "No model is installed."


async def test_not_ready_while_no_picture_can_be_stored(
    client: httpx.AsyncClient,
    queue: JobQueue,
    app: FastAPI,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(store_check, "HOLDS", 0.0)
    await queue.announce_worker(WorkerInfo("w1", ("refstar",), "cpu", 0.0), 10)
    folder = tmp_path / "blobs"
    folder.write_text("in the way of the folder")
    check = StoreCheck(DirectoryBlobs(folder))
    app.state.gateway = replace(app.state.gateway, store_check=check)
    response = await client.get("/readyz")
    assert response.status_code == 503
    assert response.json()["detail"] == "The picture store cannot be written: it is full, read-only or away."
    assert str(folder) in caplog.text, "which one, and why, is for operators"
    folder.unlink()
    assert (await client.get("/readyz")).status_code == 200


async def test_many_probes_write_to_the_store_once(tmp_path: Path) -> None:
    written = 0

    class Counted(DirectoryBlobs):
        async def check_writable(self) -> None:
            nonlocal written
            written += 1
            await super().check_writable()

    check = StoreCheck(Counted(tmp_path))
    assert all(await asyncio.gather(*(check.is_writable() for _ in range(20))))
    assert written == 1


@pytest.mark.usefixtures("without_redis")
async def test_alive_but_not_ready_without_redis(client: httpx.AsyncClient) -> None:
    assert (await client.get("/healthz")).json() == {"status": "ok"}
    response = await client.get("/readyz")
    assert (response.status_code, response.json()["type"]) == (503, "/problems/not-ready")


async def test_metrics_show_requests_and_the_queue(
    client: httpx.AsyncClient, post: Post, redis: Redis
) -> None:
    await post()
    await post(priority="high")
    await post(fidelity="9")
    await post(image=("x.png", b"\0" * 200_000))
    await client.get(f"/v1/restorations/{'0' * 32}")
    await client.get("/wp-login.php")
    await client.request("BREW", "/openapi.json")
    metrics = (await client.get("/metrics")).text
    for line in (
        'refstar_jobs_submitted_total{priority="normal"} 1.0',
        'refstar_jobs_rejected_total{reason="invalid"} 1.0',
        'refstar_jobs_rejected_total{reason="too_large"} 1.0',
        'refstar_queue_depth{priority="high"} 1.0',
        'refstar_jobs_in_flight{priority="normal"} 0.0',
        'refstar_http_requests_total{method="POST",route="/v1/restorations",status="202"} 2.0',
        'refstar_http_requests_total{method="GET",route="/v1/restorations/{job_id}",status="404"} 1.0',
        'refstar_http_requests_total{method="GET",route="unmatched",status="404"} 1.0',
        'refstar_http_requests_total{method="other",route="/openapi.json",status="405"} 1.0',
        "refstar_redis_up 1.0",
        "refstar_workers 0.0",
    ):
        assert line in metrics.splitlines()
    assert re.search(
        r'^refstar_queue_oldest_timestamp_seconds\{priority="high"\} 1\.\d+e\+09$', metrics, re.M
    )
    assert re.search(r'^refstar_stored_bytes\{kind="uploads"\} [1-9]', metrics, re.M)
    assert 'refstar_stored_bytes{kind="people"} 0.0' in metrics.splitlines()
    about = await redis.info("server")
    version = about.get("valkey_version") or about["redis_version"]
    assert re.search(
        rf'^refstar_redis_info\{{server="(redis|valkey)",version="{re.escape(version)}"\}} 1.0$',
        metrics,
        re.M,
    )
    assert re.search(r"^refstar_storage_limit_bytes [1-9]", metrics, re.M)
    assert re.search(r"^refstar_redis_memory_bytes [1-9]", metrics, re.M)
    assert "_created" not in metrics


async def test_metrics_show_how_much_memory_redis_may_take(client: httpx.AsyncClient, redis: Redis) -> None:
    most = (await redis.config_get("maxmemory"))["maxmemory"]
    try:
        for limit, shown in (("0", "NaN"), (str(2**30), "1.073741824e+09")):
            await redis.config_set("maxmemory", limit)
            lines = (await client.get("/metrics")).text.splitlines()
            assert f"refstar_redis_memory_limit_bytes {shown}" in lines
    finally:
        await redis.config_set("maxmemory", most)


async def test_metrics_say_when_redis_is_away(client: httpx.AsyncClient, app: FastAPI) -> None:
    assert "refstar_queue_depth{" in (await client.get("/metrics")).text
    away = Redis.from_url("redis://127.0.0.1:1/0", retry=None)
    app.state.gateway = replace(app.state.gateway, queue=JobQueue(away))
    metrics = (await client.get("/metrics")).text
    assert "refstar_redis_up 0.0" in metrics.splitlines()
    for figure in ("refstar_workers", "refstar_redis_memory_bytes", "refstar_redis_memory_limit_bytes"):
        assert f"{figure} NaN" in metrics.splitlines()
    assert "refstar_queue_depth{" not in metrics


async def test_every_metric_is_explained_and_has_its_prefix(client: httpx.AsyncClient) -> None:
    metrics = (await client.get("/metrics")).text
    names = set(re.findall(r"^# TYPE (\S+)", metrics, re.M))
    assert names == set(re.findall(r"^# HELP (\S+) .", metrics, re.M))
    assert all(name.startswith(("refstar_", "process_")) for name in names)


async def test_models_are_described(client: httpx.AsyncClient) -> None:
    listed = (await client.get("/v1/models")).json()["models"]
    assert [model["name"] for model in listed] == ["ented", "refstar"]
    assert listed[0]["needs_references"] is True
    assert listed[0]["max_references"] == 2
    assert listed[1]["graphs"] == {"restore": "ab" * 32}
    assert listed[1]["quality"] == {"identity": 0.7}


async def test_every_problem_type_is_an_address_that_explains_it(client: httpx.AsyncClient) -> None:
    catalog = (await client.get("/problems")).json()["problems"]
    assert len(catalog) == len(ProblemType)
    for entry in catalog:
        assert (await client.get(entry["type"])).json() == entry
        page = await client.get(entry["type"], headers={"Accept": "text/html"})
        assert page.headers["content-type"].startswith("text/plain")
        assert entry["remedy"] in page.text
    assert (await client.get("/problems/no-such")).status_code == 404


@pytest.mark.parametrize(
    "slug",
    [
        "no-face-found",
        "face-too-small",
        "reference-without-face",
        "several-faces",
        "reference-too-small",
        "reference-too-blurred",
    ],
)
def test_what_workers_say_of_faces_has_its_problem_type(slug: str) -> None:
    problem = ProblemType.of(slug)
    assert problem is not None
    assert problem.status == 422


def test_every_refusal_of_a_picture_has_its_problem_type() -> None:
    assert [code for code in RefusalCode if ProblemType.of(code) is None] == []


async def test_unknown_addresses_and_methods_answer_problems_too(client: httpx.AsyncClient) -> None:
    response = await client.get("/v2/restorations")
    assert (response.status_code, response.json()["type"]) == (404, "/problems/not-found")
    response = await client.put(f"/v1/restorations/{'0' * 32}")
    assert (response.status_code, response.json()["type"]) == (405, "/problems/method-not-allowed")
    assert response.headers["allow"] == "DELETE, GET, HEAD"
    for missing in (await client.put("/"), await client.post("/docs")):
        assert (missing.status_code, missing.headers["allow"]) == (405, "GET, HEAD")


async def test_what_the_framework_refuses_by_itself_names_its_request_too(
    app: FastAPI, client: httpx.AsyncClient
) -> None:
    @app.get("/locked")
    async def locked() -> None:
        raise HTTPException(423)

    response = await client.get("/locked")
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json() == {
        "type": "about:blank",
        "title": "Locked",
        "status": 423,
        "detail": "Locked",
        "instance": "/locked",
        "request_id": response.headers["x-request-id"],
    }


async def test_requests_keep_a_good_id_and_lose_a_bad_one(client: httpx.AsyncClient) -> None:
    async def answered(offered: str) -> str:
        response = await client.get("/healthz", headers={"X-Request-ID": offered})
        return response.headers["x-request-id"]

    assert await answered("trace-0123.abc") == "trace-0123.abc"
    assert re.fullmatch(r"[0-9a-f]{16}", await answered("<script>alert(1)</script>"))


async def test_every_answer_has_safe_headers(client: httpx.AsyncClient) -> None:
    for path in ("/", "/docs", "/openapi.json", "/v1/models", "/nowhere"):
        headers = (await client.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"
        assert (
            headers["cross-origin-opener-policy"] == headers["cross-origin-resource-policy"] == "same-origin"
        )
        assert headers["permissions-policy"].startswith("camera=()")
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert "unsafe" not in headers["content-security-policy"]


async def test_openapi_describes_the_form_and_the_problems(client: httpx.AsyncClient) -> None:
    document: dict[str, Any] = (await client.get("/openapi.json")).json()
    create = document["paths"]["/v1/restorations"]["post"]
    body = create["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert body == {"$ref": "#/components/schemas/RestorationForm"}
    form = document["components"]["schemas"]["RestorationForm"]
    assert form["properties"]["image"]["format"] == "binary"
    assert form["properties"]["references"]["maxItems"] == 8
    assert form["properties"]["fidelity"] | {"minimum": 0, "maximum": 1} == form["properties"]["fidelity"]
    assert form["properties"]["upscale"]["enum"] == [1, 2, 4]
    for knob in KNOBS.values():
        assert form["properties"][knob.name]["description"].startswith(knob.help)
        assert "default" not in form["properties"][knob.name]  # a client would send it
    assert form["properties"]["min_face"]["description"].endswith(" Default: 24.")
    assert form["properties"]["keep_location"]["description"].endswith(" Default: false.")
    assert form["properties"]["format"]["enum"] == ["same", *OUTPUT_FORMATS]
    boxes = form["properties"]["boxes"]
    assert (boxes["type"], boxes["contentMediaType"]) == ("string", "application/json")
    assert boxes["contentSchema"]["maxItems"] == 32
    assert set(create["responses"]) >= {"201", "202", "400", "413", "415", "422", "429", "503"}
    examples = create["responses"]["422"]["content"]["application/problem+json"]["examples"]
    assert "too-many-references" in examples
    assert "HTTPValidationError" not in document["components"]["schemas"]


async def test_every_reference_in_openapi_leads_somewhere(client: httpx.AsyncClient) -> None:
    text = (await client.get("/openapi.json")).text
    schemas = (await client.get("/openapi.json")).json()["components"]["schemas"]
    assert set(re.findall(r"#/components/schemas/(\w+)", text)) == set(schemas)
