"""What the metrics of every process have in common: the registry, and the buckets of durations."""

from importlib.metadata import version

from prometheus_client import CollectorRegistry, Gauge, ProcessCollector, disable_created_metrics

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
