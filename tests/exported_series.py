"""Which series the code exports, and whether a PromQL expression names those and their labels."""

import re
from collections.abc import Collection

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.metrics import MetricWrapperBase
from refstar_service.metrics.courier import CourierMetrics
from refstar_service.metrics.gateway import GatewayMetrics
from refstar_service.metrics.registry import new_registry
from refstar_service.metrics.worker import WorkerMetrics

ADDED_BY_PROMETHEUS = {"instance", "job"}
OF_ANY_PROCESS = {
    f"process_{name}" for name in ("cpu_seconds_total", "resident_memory_bytes", "open_fds", "max_fds")
}  # of prometheus_client


def collect_labels() -> dict[str, set[str]]:
    """Every series that the code exports, with its labels."""
    labels: dict[str, set[str]] = {}
    registry: CollectorRegistry = new_registry()
    for kind in (GatewayMetrics, CourierMetrics, WorkerMetrics):
        kind.on(registry)
    for collector in set(registry._names_to_collectors.values()):
        if not isinstance(collector, MetricWrapperBase):
            continue
        own = set(collector._labelnames)
        (metric,) = collector.describe()
        if isinstance(collector, Histogram):
            labels |= {f"{metric.name}_{part}": own for part in ("sum", "count")}
            labels[f"{metric.name}_bucket"] = own | {"le"}
        else:
            labels[f"{metric.name}_total" if metric.type == "counter" else metric.name] = own
    return labels


EXPORTED = collect_labels()


def find_series(expression: str) -> list[tuple[str, str]]:
    """(name, what its braces hold) of every series of this service that a PromQL expression names."""
    return re.findall(r"\b((?:refstar[:_]|process_)[\w:]+)(?:\{(.*?)\})?", expression)


def check_expression(expression: str, recorded: Collection[str] = ()) -> set[str]:
    """Labels that its result may have. Fails for a series that neither the code nor a recording rule (``recorded``)
    has, and for a label that its series lack."""
    found = find_series(expression)
    assert found, expression
    known = set(ADDED_BY_PROMETHEUS)
    for name, matchers in found:
        assert name in EXPORTED or name in recorded or name in OF_ANY_PROCESS, name
        own = EXPORTED.get(name, set())
        assert set(re.findall(r"(\w+)\s*[=!]~?", re.sub(r'".*?"', "", matchers))) <= own, name
        known |= own
    for listed in re.findall(r"\bby\s*\((.*?)\)", expression):
        assert set(re.split(r",\s*", listed)) <= known, listed
    return known
