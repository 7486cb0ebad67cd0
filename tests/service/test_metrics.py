"""What every process reports from its first scrape on."""

from importlib.metadata import version

from prometheus_client import CollectorRegistry, generate_latest
from refstar_service.metrics.courier import CourierMetrics
from refstar_service.metrics.registry import new_registry
from refstar_service.metrics.worker import WorkerMetrics


def test_every_process_reports_its_version() -> None:
    labels = {"version": version("refstar-service")}
    assert new_registry().get_sample_value("refstar_build_info", labels) == 1


def test_what_alerts_count_begins_with_zero() -> None:
    """A series that begins with 1 shows no increase to Prometheus: the first lost job would raise no alert."""
    registry = CollectorRegistry()
    WorkerMetrics.on(registry, models=["refstar@1.0"])
    CourierMetrics.on(registry)
    lines = generate_latest(registry).decode().splitlines()
    assert 'refstar_jobs_finished_total{model="refstar@1.0",outcome="dead",reason="worker-lost"} 0.0' in lines
    assert 'refstar_jobs_finished_total{model="refstar@1.0",outcome="succeeded",reason=""} 0.0' in lines
    assert 'refstar_webhook_deliveries_total{outcome="given_up"} 0.0' in lines
