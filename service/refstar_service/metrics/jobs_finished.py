"""Jobs that ended, counted where that is seen: by workers, and by gateways those that no worker meets."""

from weakref import WeakKeyDictionary

from prometheus_client import CollectorRegistry, Counter

_COUNTERS: WeakKeyDictionary[CollectorRegistry, Counter] = WeakKeyDictionary()


def count_jobs_finished(registry: CollectorRegistry) -> Counter:
    """The counter of this registry: one, for a worker and a gateway that share it."""
    if registry not in _COUNTERS:
        _COUNTERS[registry] = Counter(
            "refstar_jobs_finished_total",
            "Jobs that ended: succeeded, failed, dead (every attempt lost its worker), canceled, expired, deleted, or "
            "not_recorded (another worker had taken over). Workers count those that they had, and gateways those that "
            "were canceled or deleted before any worker had them. `reason` is the problem of a failed job, as the API "
            "names it, otherwise empty. `model` is NAME@VERSION, or empty for what has none or one that is not "
            "installed. Shadows do not count.",
            ["outcome", "reason", "model"],
            registry=registry,
        )
    return _COUNTERS[registry]
