"""Metrics of a worker."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol, Self

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from refstar_service.metrics.jobs_finished import count_jobs_finished
from refstar_service.metrics.registry import DURATION_BUCKETS


class HasValue(Protocol):
    @property
    def value(self) -> int: ...


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
            jobs_finished=count_jobs_finished(registry),
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
