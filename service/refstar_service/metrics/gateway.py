"""Metrics of a gateway."""

from dataclasses import dataclass
from typing import Self

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from refstar_service.metrics.jobs_finished import count_jobs_finished
from refstar_service.metrics.registry import DURATION_BUCKETS


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
    jobs_finished: Counter
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
            jobs_finished=count_jobs_finished(registry),
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
