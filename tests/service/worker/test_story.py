"""What an operator sees of a job in the worker: its log lines, its spans, its figures."""

import asyncio
import hashlib
import io
import json
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import numpy as np
import pytest
from inverting import Inverting
from known_faces import KnownFaces
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pictures import file_of
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis
from refstar_service import logs, tracing
from refstar_service.blobs import RedisBlobs
from refstar_service.engine.buckets import Ceiling
from refstar_service.engine.restorer import FaceTask
from refstar_service.faces.select import FaceMode
from refstar_service.images import ImageLimits
from refstar_service.jobs import Job, JobQueue, JobStatus, RestoreRequest, StoredFile, WorkerInfo
from refstar_service.metrics.worker import WorkerMetrics
from refstar_service.restoration.knobs import Knobs
from refstar_service.restoration.references import ReferenceMemory
from refstar_service.restoration.steps import Model, Viewer
from refstar_service.worker.files import JobFiles
from refstar_service.worker.health import Pulse
from refstar_service.worker.pipeline import Worker

SIZE = 32
CLIENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Bench:
    """A queue, and a worker over it whose metrics are in ``registry``."""

    def __init__(self, redis: Redis, restorer: Inverting, max_attempts: int = 3) -> None:
        self.registry = CollectorRegistry()
        self.queue = JobQueue(redis, stale_after=1, max_attempts=max_attempts, worker="w")
        self.blobs = RedisBlobs(redis)
        self.stopping = asyncio.Event()
        self.worker = Worker(
            self.queue,
            JobFiles(self.blobs, 60),
            {"refstar": Model(restorer, SIZE)},
            WorkerInfo("w", ("refstar",), "cpu", time.time()),
            metrics=WorkerMetrics.on(self.registry),
            viewer=Viewer(KnownFaces(), ReferenceMemory(), ImageLimits()),
            max_batch=8,
            max_batch_pixels=100_000_000,
            picture_threads=2,
        )

    async def submit(self, name: str, picture: bytes, **changes: object) -> None:
        file = StoredFile(
            f"{name}/image", hashlib.sha256(picture).hexdigest(), "image/png", len(picture), "0.png"
        )
        await self.blobs.put(file.key, picture, 60)
        request = RestoreRequest(file, (), "refstar", Knobs(FaceMode.ALIGNED), request_id=f"r-{name}")
        await self.queue.submit(name, replace(request, **changes))

    async def ended(self, name: str) -> Job:
        job = await self.queue.wait(name, 20)
        assert job is not None
        assert job.status.terminal
        return job

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.worker.run(self.stopping))
        try:
            yield
        finally:
            self.stopping.set()
            await asyncio.wait_for(task, 20)
            await self.queue.aclose()

    def figure(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"refstar_{name}", labels)


@pytest.fixture
def exporter() -> Iterator[InMemorySpanExporter]:
    exporter, provider = InMemorySpanExporter(), tracing.new_provider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing.set_provider(provider)
    yield exporter
    tracing.set_provider(None)


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    logs.configure_logging("info", as_json=True)
    return stream


def told(lines: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in lines.getvalue().splitlines()]


def gray(level: int) -> bytes:
    return file_of(np.full((SIZE, SIZE, 3), level, np.uint8))


def named(spans: Sequence[ReadableSpan], name: str) -> list[ReadableSpan]:
    return [span for span in spans if span.name == name]


async def test_a_job_is_a_span_of_its_request_and_its_inference_is_linked_to_it(
    redis: Redis, exporter: InMemorySpanExporter
) -> None:
    bench = Bench(redis, Inverting())
    await bench.submit("asked", gray(1), traceparent=CLIENT)
    await bench.submit("alone", gray(2))
    await bench.submit("broken", b"no picture")
    async with bench.working():
        for name in ("asked", "alone", "broken"):
            await bench.ended(name)
    spans = exporter.get_finished_spans()
    jobs = {str((span.attributes or {})["refstar.job_id"]): span for span in named(spans, "restoration")}
    assert set(jobs) == {"asked", "alone", "broken"}
    asked = jobs["asked"]
    assert asked.parent is not None
    assert (f"{asked.context.trace_id:032x}", f"{asked.parent.span_id:016x}") == tuple(CLIENT.split("-")[1:3])
    assert jobs["alone"].parent is None
    assert dict(asked.attributes or {}) | {"refstar.waited": 0} == {
        "refstar.job_id": "asked",
        "refstar.attempt": 1,
        "refstar.request_id": "r-asked",
        "refstar.model": "refstar",
        "refstar.waited": 0,
        "refstar.outcome": "succeeded",
    }
    assert (jobs["broken"].status.description, asked.status.description) == ("not-an-image", None)
    stages = [span.name for span in spans if span.parent and span.parent.span_id == asked.context.span_id]
    assert stages == ["fetch", "prepare", "store"]
    linked = {link.context.span_id for span in named(spans, "inference") for link in span.links}
    assert linked == {jobs["asked"].context.span_id, jobs["alone"].context.span_id}


async def test_every_line_about_a_job_names_job_attempt_and_request(redis: Redis, lines: io.StringIO) -> None:
    def fail_on_nine(tasks: Sequence[FaceTask]) -> None:
        if any(task.low_quality[0, 0, 0] == 9 for task in tasks):
            raise RuntimeError("no")

    bench = Bench(redis, Inverting(fail_on_nine))
    await bench.submit("good", gray(1), traceparent=CLIENT)
    await bench.submit("bad", gray(9))
    async with bench.working():
        for name in ("good", "bad"):
            await bench.ended(name)
    ends = {line["job"]: line for line in told(lines) if "outcome" in line}
    good, bad = ends["good"], ends["bad"]
    assert (good["attempt"], good["request_id"], good["outcome"]) == (1, "r-good", "succeeded")
    assert good["trace_id"] == CLIENT.split("-")[1]
    assert set(good["timings"]) >= {"fetch", "infer", "store"}  # type: ignore[call-overload]
    assert (bad["outcome"], bad["reason"]) == ("failed", "inference-failed")
    failed = [line for line in told(lines) if line["level"] == "error"]
    assert failed
    assert all("batch" in line for line in failed)


async def test_waits_and_durations_are_counted_once_a_job(redis: Redis) -> None:
    bench = Bench(redis, Inverting())
    for number in range(3):
        await bench.submit(f"job{number}", gray(number))
    await asyncio.sleep(0.2)
    async with bench.working():
        for number in range(3):
            await bench.ended(f"job{number}")
    assert bench.figure("job_queue_duration_seconds_count") == 3
    assert bench.figure("job_duration_seconds_count", model="refstar") == 3
    waited, lasted = (
        bench.figure("job_queue_duration_seconds_sum"),
        bench.figure("job_duration_seconds_sum", model="refstar"),
    )
    assert waited is not None
    assert lasted is not None
    assert 0.6 <= waited < lasted < 60
    assert bench.figure("stage_duration_seconds_count", stage="store") == 3
    assert bench.figure("jobs_finished_total", outcome="succeeded", reason="", model="refstar") == 3


async def test_jobs_that_no_worker_ends_are_counted_too(redis: Redis, lines: io.StringIO) -> None:
    bench = Bench(redis, Inverting(), max_attempts=1)
    for name in ("canceled", "deleted", "poison", "good"):
        await bench.submit(name, gray(1))
    [other] = [one for one in await bench.queue.reserve(4) if one.job_id == "poison"]
    await bench.queue.start([other])
    await bench.queue.cancel("canceled")
    await bench.queue.delete("deleted")
    await asyncio.sleep(1.1)  # nobody beats for it
    async with bench.working():
        assert (await bench.ended("poison")).failure is not None
        assert (await bench.ended("good")).status is JobStatus.SUCCEEDED
    for outcome, reason, model in (
        ("canceled", "", "refstar"),
        ("deleted", "", ""),
        ("dead", "worker-lost", "refstar"),
        ("succeeded", "", "refstar"),
    ):
        assert bench.figure("jobs_finished_total", outcome=outcome, reason=reason, model=model) == 1, outcome
    [line] = [line for line in told(lines) if line["level"] == "error"]
    assert (line["job"], line["attempt"], line["request_id"]) == ("poison", 1, "r-poison")


async def test_a_job_canceled_while_it_runs_counts_as_canceled(redis: Redis) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def hold(_: Sequence[FaceTask]) -> None:
        loop.call_soon_threadsafe(begun.set)
        asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result(20)

    bench = Bench(redis, Inverting(hold))
    await bench.submit("job", gray(1))
    async with bench.working():
        await asyncio.wait_for(begun.wait(), 20)
        await bench.queue.cancel("job")
        go_on.set()
        assert (await bench.ended("job")).status is JobStatus.CANCELED
    assert bench.figure("jobs_finished_total", outcome="canceled", reason="", model="refstar") == 1
    assert bench.figure("job_duration_seconds_count", model="refstar") is None


def test_every_metric_that_service_operators_are_promised_is_there() -> None:
    registry = CollectorRegistry()
    WorkerMetrics.on(registry)
    names = {metric.name for metric in registry.collect()}
    assert names >= {
        "refstar_jobs_finished",
        "refstar_jobs_redelivered",
        "refstar_job_queue_duration_seconds",
        "refstar_job_duration_seconds",
        "refstar_batch_size",
        "refstar_batch_ceiling",
        "refstar_stage_duration_seconds",
        "refstar_worker_last_batch_timestamp_seconds",
        "refstar_worker_heartbeat_timestamp_seconds",
        "refstar_model_info",
    }


def test_a_ceiling_that_came_down_shows_with_the_next_scrape() -> None:
    registry, ceiling = CollectorRegistry(), Ceiling(8)
    WorkerMetrics.on(registry).watch_ceiling("refstar", ceiling)
    assert registry.get_sample_value("refstar_batch_ceiling", {"model": "refstar"}) == 8
    ceiling.lower(8)
    assert registry.get_sample_value("refstar_batch_ceiling", {"model": "refstar"}) == 4


async def test_a_worker_is_ready_from_the_moment_redis_knows_of_it(redis: Redis) -> None:
    bench, pulse, known = Bench(redis, Inverting()), Pulse(), asyncio.Event()

    def announced() -> None:
        pulse.announce()
        known.set()

    bench.worker.announced = announced
    assert pulse.obstacle == "loading models"
    async with bench.working():
        await asyncio.wait_for(known.wait(), 20)
        assert pulse.obstacle is None
        assert [worker.name for worker in await bench.queue.workers()] == ["w"]
