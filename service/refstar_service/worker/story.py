"""What an attempt tells of itself: log lines with its ids, its span and those of its stages, its figures.

The span of an attempt is a child of the request's; an inference, which several attempts share, is linked to theirs.
"""

import logging
import time
from collections.abc import Awaitable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import count
from typing import TypeVar

from opentelemetry import trace
from opentelemetry.trace import Link, SpanKind, StatusCode

from refstar_service import logs, tracing
from refstar_service.jobs.job import Job, JobStatus, Outcome
from refstar_service.jobs.record import UNREADABLE
from refstar_service.jobs.reservation import Attempt
from refstar_service.metrics.worker import WorkerMetrics

log = logging.getLogger(__name__)
T = TypeVar("T")

_inferences = count(1)


class Story:
    """Of one started job. It ends once: recorded, not kept, or back in the queue."""

    def __init__(self, started: Attempt, model: str = "") -> None:
        self._started, self._model = started, model
        self._began = time.monotonic()
        # Most are of no trace, and spans that nobody records cost as much as the rest of a stage.
        self.traced = tracing.is_recording() or bool(started.request.traceparent)
        self.span = self._start_span() if self.traced else trace.INVALID_SPAN

    def _start_span(self) -> trace.Span:
        started = self._started
        return tracing.tracer().start_span(
            "restoration",
            context=tracing.read_traceparent(started.request.traceparent),
            kind=SpanKind.CONSUMER,
            attributes={
                "refstar.job_id": started.job_id,
                "refstar.attempt": started.attempt,
                "refstar.request_id": started.request.request_id,
                "refstar.model": self._model,
                "refstar.waited": started.waited,
            },
        )

    @property
    def seconds(self) -> float:
        """From the job's acceptance until now."""
        return self._started.waited + time.monotonic() - self._began

    async def tell(self, stage: str, act: Awaitable[T]) -> T:
        """Await ``act`` as a stage of this attempt: with its ids on every log line, in a span of its own."""
        with self._ids():
            if not self.traced:
                return await act
            with trace.use_span(self.span), tracing.tracer().start_as_current_span(stage):
                return await act

    def record(self, outcome: Outcome) -> None:
        """The outcome counts."""
        failure = outcome.failure
        self.span.set_attribute("refstar.outcome", outcome.status)
        if failure is not None:
            self.span.set_status(StatusCode.ERROR, failure.code)
        what = f"{outcome.status} ({failure.code})" if failure is not None else outcome.status
        with self._ids(), trace.use_span(self.span):
            log.info(
                "job %s %s after %.2f s",
                self._started.job_id,
                what,
                self.seconds,
                extra={
                    "outcome": outcome.status,
                    "reason": failure.code if failure is not None else None,
                    "model": self._model,
                    "waited": self._started.waited,
                    "seconds": round(self.seconds, 4),
                    "timings": outcome.timings,
                },
            )
        self.span.end()

    def end(self, how: str) -> None:
        """Without an outcome that counts: ``how`` is given_back, put_back or not_recorded."""
        self.span.set_attribute("refstar.outcome", how)
        with self._ids(), trace.use_span(self.span):
            log.info("job %s: %s", self._started.job_id, how.replace("_", " "), extra={"outcome": how})
        self.span.end()

    def _ids(self) -> AbstractContextManager[None]:
        started = self._started
        return logs.bind_fields(
            job=started.job_id, attempt=started.attempt, request_id=started.request.request_id
        )


@contextmanager
def trace_inference(stories: Sequence[Story], faces: int) -> Iterator[None]:
    """A span for what these attempts do together, linked to each of them."""
    number = next(_inferences)
    if not any(story.traced for story in stories):
        with logs.bind_fields(batch=number):
            yield
        return
    links = [Link(story.span.get_span_context()) for story in stories]
    attributes = {"refstar.batch": number, "refstar.jobs": len(stories), "refstar.faces": faces}
    with (
        logs.bind_fields(batch=number),
        tracing.tracer().start_as_current_span("inference", links=links, attributes=attributes),
    ):
        yield


def cannot_be_read(job: Job) -> bool:
    """Whether it failed since its record, or a part of it, cannot be read."""
    return job.failure is not None and job.failure.code == UNREADABLE


def name_end(job: Job | None) -> str:
    """What became of a job whose outcome was not recorded."""
    if job is None:
        return "deleted"
    return job.status.value if job.status in (JobStatus.CANCELED, JobStatus.EXPIRED) else "not_recorded"


def count_buried(job: Job | None, metrics: WorkerMetrics) -> None:
    """Count a job that this worker was given and found ended: an outcome that no worker reports."""
    if job is None:
        metrics.count_job(name_end(job), "", "")
    elif job.status is JobStatus.FAILED and job.failure is not None and job.failure.code == "worker-lost":
        metrics.count_job("dead", job.failure.code, job.request.full_name)
        with logs.bind_fields(job=job.id, attempt=job.attempts, request_id=job.request.request_id):
            log.error("job %s has lost its worker in each of %d attempts", job.id, job.attempts)
    elif cannot_be_read(job):
        metrics.count_job("failed", UNREADABLE, job.request.full_name)
        with logs.bind_fields(job=job.id):
            log.error("job %s: %s", job.id, job.failure.detail if job.failure else "")
    elif job.status in (JobStatus.CANCELED, JobStatus.EXPIRED):
        metrics.count_job(name_end(job), "", job.request.full_name)
