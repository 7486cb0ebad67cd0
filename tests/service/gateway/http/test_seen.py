"""What an operator sees of a request: its span, its log lines, and what they never hold."""

import io
import json
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from refstar_service import logs, tracing
from refstar_service.jobs import JobQueue

Post = Callable[..., Awaitable[httpx.Response]]
Worker = Callable[..., AbstractAsyncContextManager[None]]
CLIENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def exporter() -> Iterator[InMemorySpanExporter]:
    """Ask for it before the app, which takes what there is when it is made."""
    exporter, provider = InMemorySpanExporter(), tracing.new_provider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing.set_provider(provider)
    yield exporter
    tracing.set_provider(None)


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    logs.configure_logging("debug", as_json=True)
    # Of other people's libraries, only what a process at its usual level would show.
    for name in ("httpx", "httpcore", "asyncio", "python_multipart", "PIL"):
        logging.getLogger(name).setLevel(logging.INFO)
    return stream


def told(lines: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines.getvalue().splitlines()]


async def test_a_request_and_its_job_are_spans_of_the_clients_trace(
    exporter: InMemorySpanExporter, post: Post, queue: JobQueue
) -> None:
    response = await post(headers={"traceparent": CLIENT, "X-Request-ID": "request-0001"})
    assert response.status_code == 202
    [span] = exporter.get_finished_spans()
    assert span.name == "POST /v1/restorations"
    assert span.parent is not None
    assert (f"{span.context.trace_id:032x}", f"{span.parent.span_id:016x}") == tuple(CLIENT.split("-")[1:3])
    job_id = response.json()["id"]
    attributes = span.attributes or {}
    assert attributes["refstar.request_id"] == "request-0001"
    assert attributes["refstar.job_id"] == job_id
    assert attributes["http.response.status_code"] == 202
    job = await queue.get(job_id)
    assert job is not None
    assert job.request.request_id == "request-0001"
    assert job.request.traceparent == f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-01"


async def test_probes_and_scrapes_leave_no_spans(
    exporter: InMemorySpanExporter, client: httpx.AsyncClient
) -> None:
    for path in ("/healthz", "/readyz", "/metrics"):
        await client.get(path)
    assert not exporter.get_finished_spans()
    await client.get("/v1/models")
    assert [span.name for span in exporter.get_finished_spans()] == ["GET /v1/models"]


async def test_a_clients_trace_is_passed_on_by_a_gateway_that_records_none(
    post: Post, queue: JobQueue, lines: io.StringIO
) -> None:
    job = await queue.get((await post(headers={"traceparent": CLIENT})).json()["id"])
    assert job is not None
    assert job.request.traceparent == CLIENT
    [line] = [line for line in told(lines) if line.get("path") == "/v1/restorations"]
    assert line["trace_id"] == CLIENT.split("-")[1]


async def test_every_line_of_a_request_carries_its_id(
    client: httpx.AsyncClient, app: FastAPI, lines: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise ValueError("broken")

    monkeypatch.setattr(app.state.gateway.queue, "get", broken)
    headers = {"X-Request-ID": "request-0002"}
    response = await client.get(f"/v1/restorations/{'0' * 32}", headers=headers)
    assert response.status_code == 500
    assert "broken" not in response.text
    failed, answered = (line for line in told(lines) if line["logger"].startswith("refstar"))
    assert (failed["request_id"], answered["request_id"]) == ("request-0002", "request-0002")
    assert "ValueError: broken" in failed["error"]
    assert (answered["status"], answered["route"]) == (500, "/v1/restorations/{job_id}")


async def test_logs_hold_no_keys_no_file_names_and_no_bytes_of_pictures(
    client: httpx.AsyncClient, picture: Callable[..., bytes], lines: io.StringIO, worker: Worker
) -> None:
    marked = picture() + b"MARK-OF-THE-PICTURE"
    async with worker():
        sent = await client.post(
            "/v1/restorations",
            files={"image": ("Grandmother 1943.png", marked)},
            data={"faces": "aligned"},
            headers={
                "Authorization": "Bearer rs_secret-of-mine",
                "Cookie": "session=secret-of-mine",
                "Idempotency-Key": '"secret-of-mine"',
                "Prefer": "wait=5",
            },
        )
        image = await client.get(sent.json()["links"]["image"])
    # One that cannot be read, too: errors are where such things slip out.
    await client.post("/v1/restorations", files={"image": ("Grandmother 1943.png", b"MARK-OF-THE-PICTURE")})
    assert image.status_code == 200
    text = lines.getvalue()
    assert "/v1/restorations" in text
    for secret in ("secret-of-mine", "Grandmother", "MARK-OF-THE-PICTURE", "restored"):
        assert secret not in text, secret
