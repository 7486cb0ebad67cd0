"""Every metric, one file. One group a process; the registry is passed in, which keeps tests apart.

No ids, names or paths as labels: every label has a handful of values. Durations are seconds.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Protocol, Self

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)

# 5 ms to 41 s in doublings: from a cached read to a waiting client.
DURATION_BUCKETS = tuple(0.005 * 2**step for step in range(14))

# The `_created` companions double the series and say nothing that a dashboard here asks for.
disable_created_metrics()  # type: ignore[no-untyped-call]


def new_registry() -> CollectorRegistry:
    """A registry with the process's own figures (memory, CPU, open files), its version, and nothing else yet."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    build = Gauge(
        "refstar_build_info",
        "Always 1. The version of this process: several at once during an update.",
        ["version"],
        registry=registry,
    )
    build.labels(version("refstar-service")).set(1)
    return registry


class HasValue(Protocol):
    @property
    def value(self) -> int: ...


@dataclass(frozen=True)
class GatewayMetrics:
    """What a gateway counts, and the queue's gauges, which it reads from Redis when it is scraped.

    All gateways of one Redis report the same queue: aggregate its gauges with `max`, not `sum`.
    """

    http_requests: Counter
    http_request_duration: Histogram
    upload_bytes: Counter
    jobs_submitted: Counter
    jobs_rejected: Counter
    event_streams: Gauge
    redis_up: Gauge
    redis_info: Gauge
    redis_memory: Gauge
    redis_memory_limit: Gauge
    workers: Gauge
    queue_depth: Gauge
    jobs_in_flight: Gauge
    queue_oldest_timestamp: Gauge
    webhook_backlog: Gauge
    stored_bytes: Gauge
    storage_limit: Gauge
    canary_percent: Gauge

    @classmethod
    def on(cls, registry: CollectorRegistry) -> Self:
        shared = "Every gateway reports the same value: aggregate with max."
        return cls(
            http_requests=Counter(
                "refstar_http_requests_total",
                "Requests, by status. Status 499 means that the client disconnected first.",
                ["method", "route", "status"],
                registry=registry,
            ),
            http_request_duration=Histogram(
                "refstar_http_request_duration_seconds",
                "Time from the head of a request to the end of its response, including requested waits.",
                ["method", "route"],
                buckets=DURATION_BUCKETS,
                registry=registry,
            ),
            upload_bytes=Counter(
                "refstar_upload_bytes_total",
                "Bytes of request bodies that were read, including refused requests.",
                registry=registry,
            ),
            jobs_submitted=Counter(
                "refstar_jobs_submitted_total", "Jobs accepted.", ["priority"], registry=registry
            ),
            jobs_rejected=Counter(
                "refstar_jobs_rejected_total",
                "Restorations that were refused, by reason: queue_full, storage_full, too_large, invalid, "
                "unavailable.",
                ["reason"],
                registry=registry,
            ),
            event_streams=Gauge(
                "refstar_event_streams", "Open event streams of this gateway.", registry=registry
            ),
            redis_up=Gauge(
                "refstar_redis_up", "1 if Redis responded to this scrape, otherwise 0.", registry=registry
            ),
            redis_info=Gauge(
                "refstar_redis_info",
                "Always 1. Which server the queue is in, redis or valkey, and its version.",
                ["server", "version"],
                registry=registry,
            ),
            redis_memory=Gauge(
                "refstar_redis_memory_bytes", f"Memory that Redis uses. {shared}", registry=registry
            ),
            redis_memory_limit=Gauge(
                "refstar_redis_memory_limit_bytes",
                f"The maxmemory of Redis; NaN if it has none. {shared}",
                registry=registry,
            ),
            workers=Gauge("refstar_workers", f"Running workers. {shared}", registry=registry),
            queue_depth=Gauge(
                "refstar_queue_depth",
                f"Jobs that wait or are held by workers, which is what the queue limit counts. {shared}",
                ["priority"],
                registry=registry,
            ),
            jobs_in_flight=Gauge(
                "refstar_jobs_in_flight", f"Jobs held by workers. {shared}", ["priority"], registry=registry
            ),
            queue_oldest_timestamp=Gauge(
                "refstar_queue_oldest_timestamp_seconds",
                f"When the job that has waited longest was accepted, in unix seconds. Absent if no job waits. {shared}",
                ["priority"],
                registry=registry,
            ),
            webhook_backlog=Gauge(
                "refstar_webhook_backlog",
                f"Webhooks that have not been delivered yet. {shared}",
                registry=registry,
            ),
            stored_bytes=Gauge(
                "refstar_stored_bytes",
                "Bytes of pictures, by kind: uploads (of restorations that have not ended), results, people, and "
                f"promised (kept free for results to come). {shared}",
                ["kind"],
                registry=registry,
            ),
            storage_limit=Gauge(
                "refstar_storage_limit_bytes",
                "What all kinds of refstar_stored_bytes may take together.",
                registry=registry,
            ),
            canary_percent=Gauge(
                "refstar_canary_percent",
                "The percentage of requests or API keys that a canary is for. `model` is the canary, `default` the "
                f"version that the others get. {shared}",
                ["model", "default"],
                registry=registry,
            ),
        )


@dataclass(frozen=True)
class CourierMetrics:
    """What a courier counts; one runs in every gateway unless the settings say otherwise."""

    deliveries: Counter
    delivery_duration: Histogram

    @classmethod
    def on(cls, registry: CollectorRegistry) -> Self:
        metrics = cls(
            deliveries=Counter(
                "refstar_webhook_deliveries_total",
                "Attempts to deliver a webhook: delivered, failed (will be repeated), given_up (after the last), "
                "gone (the receiver responded with 410), abandoned (its API key was revoked).",
                ["outcome"],
                registry=registry,
            ),
            delivery_duration=Histogram(
                "refstar_webhook_delivery_duration_seconds",
                "Time of one attempt, from resolving the host name to the head of the response.",
                buckets=DURATION_BUCKETS,
                registry=registry,
            ),
        )
        # Prometheus sees no increase in a series that begins with 1, so what alerts count begins with 0.
        metrics.deliveries.labels("given_up")
        return metrics


@dataclass(frozen=True)
class WorkerMetrics:
    """What a worker counts. `stage` is one of download (from URLs), fetch, decode, detect, infer, review, paste,
    encode, store and deliver (to a URL)."""

    jobs_finished: Counter
    faces: Counter
    jobs_redelivered: Counter
    job_queue_duration: Histogram
    job_duration: Histogram
    reference_work: Counter
    batch_size: Histogram
    batch_ceiling: Gauge
    stage_duration: Histogram
    last_batch: Gauge
    heartbeat: Gauge
    model_info: Gauge
    shadows: Counter
    shadow_faces: Counter
    shadow_psnr: Histogram
    shadow_duration: Histogram
    models: frozenset[str] | None

    @classmethod
    def on(cls, registry: CollectorRegistry, models: Collection[str] | None = None) -> Self:
        """``models``: those that may be labels, as NAME@VERSION (None: all)."""
        metrics = cls(
            jobs_finished=Counter(
                "refstar_jobs_finished_total",
                "Jobs that ended: succeeded, failed, dead (every attempt lost its worker), canceled, expired, deleted, "
                "or not_recorded (another worker had taken over). `reason` is the problem of a failed job, as the API "
                "names it, otherwise empty. `model` is NAME@VERSION, or empty for what has none or one that is not "
                "installed. Shadows do not count.",
                ["outcome", "reason", "model"],
                registry=registry,
            ),
            faces=Counter(
                "refstar_faces_total",
                "Faces in the reports of recorded jobs, by action (restored, kept, skipped, failed) and reason, as in "
                "`faces`; empty for restored faces.",
                ["action", "reason"],
                registry=registry,
            ),
            jobs_redelivered=Counter(
                "refstar_jobs_redelivered_total",
                "Jobs that were started again after an attempt that did not end.",
                registry=registry,
            ),
            job_queue_duration=Histogram(
                "refstar_job_queue_duration_seconds",
                "Time from the acceptance of a job to its first start.",
                buckets=DURATION_BUCKETS,
                registry=registry,
            ),
            job_duration=Histogram(
                "refstar_job_duration_seconds",
                "Time from the acceptance of a job to its recorded outcome, by model as in refstar_jobs_finished.",
                ["model"],
                buckets=DURATION_BUCKETS,
                registry=registry,
            ),
            reference_work=Counter(
                "refstar_reference_work_total",
                "Work on references, by step: decode, detect and encode for new ones, fetch for the encoded features "
                "of a stored person. References that this worker remembers cost none.",
                ["step"],
                registry=registry,
            ),
            batch_size=Histogram(
                "refstar_batch_size",
                "Faces in one inference.",
                buckets=(1, 2, 4, 8, 16, 32, 64),
                registry=registry,
            ),
            batch_ceiling=Gauge(
                "refstar_batch_ceiling",
                "Most faces in one inference at present: the setting, rounded down to a power of two and halved "
                "whenever that many did not fit into memory. Always 1 on a CPU.",
                ["model"],
                registry=registry,
            ),
            stage_duration=Histogram(
                "refstar_stage_duration_seconds",
                "Time per stage: infer per batch, the others per job.",
                ["stage"],
                buckets=DURATION_BUCKETS,
                registry=registry,
            ),
            last_batch=Gauge(
                "refstar_worker_last_batch_timestamp_seconds",
                "When the last inference ended, in unix seconds.",
                registry=registry,
            ),
            heartbeat=Gauge(
                "refstar_worker_heartbeat_timestamp_seconds",
                "When the worker last confirmed its jobs to Redis, in unix seconds.",
                registry=registry,
            ),
            model_info=Gauge(
                "refstar_model_info",
                "Always 1. One series for each model that this worker has loaded.",
                ["model", "version", "precision", "provider"],
                registry=registry,
            ),
            shadows=Counter(
                "refstar_shadows_total",
                "Restorations that another version (`model`, NAME@VERSION) did once more for comparison: compared, "
                "failed, gone (there was nothing left to compare to), or left_out since too many waited.",
                ["model", "outcome"],
                registry=registry,
            ),
            shadow_faces=Counter(
                "refstar_shadow_faces_total",
                "Faces of compared shadows, by who restored them: both, only_first (the version that answered), "
                "only_second (the shadow) or neither.",
                ["model", "restored_by"],
                registry=registry,
            ),
            shadow_psnr=Histogram(
                "refstar_shadow_psnr_decibels",
                "Peak signal-to-noise ratio between the result that was given and that of the shadow, where either "
                "restored a face. 100 for equal pixels.",
                ["model"],
                buckets=(15, 20, 25, 30, 35, 40, 45, 50, 60, 99),
                registry=registry,
            ),
            shadow_duration=Histogram(
                "refstar_shadow_duration_seconds",
                "Seconds of work, from decoding to encoding, of compared shadows: `side` is job or shadow.",
                ["model", "side"],
                buckets=DURATION_BUCKETS,
                registry=registry,
            ),
            models=None if models is None else frozenset(models),
        )
        for model in models or [""]:
            metrics.jobs_finished.labels("succeeded", "", model)  # as in CourierMetrics
            metrics.jobs_finished.labels("dead", "worker-lost", model)
        return metrics

    def count_job(self, outcome: str, reason: str, model: str, seconds: float | None = None) -> None:
        """A job has ended, ``seconds`` after it was accepted, if that is to be counted."""
        self.jobs_finished.labels(outcome, reason, self._label(model)).inc()
        if seconds is not None:
            self.job_duration.labels(self._label(model)).observe(seconds)

    def count_shadow(self, model: str, outcome: str) -> None:
        """What became of a shadow: compared, failed, gone or left_out."""
        self.shadows.labels(self._label(model), outcome).inc()

    def observe_shadow(
        self, model: str, seconds: tuple[float, float], psnr: float | None, faces: Mapping[str, int]
    ) -> None:
        """How it compares to its job: ``seconds`` of the job and its own, ``faces`` by who restored them."""
        for side, took in zip(("job", "shadow"), seconds, strict=True):
            self.shadow_duration.labels(self._label(model), side).observe(took)
        if psnr is not None:
            self.shadow_psnr.labels(self._label(model)).observe(psnr)
        for restored_by, count in faces.items():
            self.shadow_faces.labels(self._label(model), restored_by).inc(count)

    def _label(self, model: str) -> str:
        return model if self.models is None or model in self.models else ""

    def watch_ceiling(self, model: str, ceiling: HasValue) -> None:
        """`ceiling` is asked whenever the metrics are scraped."""
        self.batch_ceiling.labels(model).set_function(lambda: ceiling.value)

    def observe(self, seconds: Mapping[str, float], *stages: str) -> None:
        """How long these stages of a job took, as far as it came to them."""
        for stage in stages:
            if stage in seconds:
                self.stage_duration.labels(stage).observe(seconds[stage])
