"""Metrics of a courier."""

from dataclasses import dataclass
from typing import Self

from prometheus_client import CollectorRegistry, Counter, Histogram

from refstar_service.metrics.registry import DURATION_BUCKETS


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
