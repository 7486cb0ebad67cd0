"""From restored faces to an outcome: the result made and kept, the job's figures told, its blobs cleared away."""

import logging
import time
from functools import partial

from redis.exceptions import RedisError

from refstar_service.jobs import JobQueue
from refstar_service.jobs.job import JobFailure, JobStatus, Outcome
from refstar_service.jobs.request import EnrollRequest, RestoreRequest, input_keys
from refstar_service.metrics import WorkerMetrics
from refstar_service.restoration.errors import RestorationError
from refstar_service.restoration.steps import Composed, compose
from refstar_service.restoration.stopwatch import Stopwatch
from refstar_service.worker import story
from refstar_service.worker.files import JobFiles
from refstar_service.worker.patience import GaveUp, patiently
from refstar_service.worker.people import StoredPeople
from refstar_service.worker.threads import Threads
from refstar_service.worker.work import Work

log = logging.getLogger(__name__)


class Results:
    """Of one worker; ``pictures`` are the threads that paste and encode."""

    def __init__(
        self,
        queue: JobQueue,
        files: JobFiles,
        people: StoredPeople,
        metrics: WorkerMetrics,
        pictures: Threads,
    ) -> None:
        self._queue, self._files, self._people, self._metrics = queue, files, people, metrics
        self._pictures = pictures

    async def outcome(self, work: Work) -> Outcome:
        """Made and kept. If it cannot be kept now, ``work.abandoned`` is set, and the outcome does not count."""
        if isinstance(work.request, EnrollRequest):
            return await self._people.outcome(work)
        name = work.request.image.name
        prepared, work.prepared = work.prepared, None  # its pixels are not needed after this
        clock = Stopwatch()
        if work.failure is None and prepared is not None:
            try:
                make = partial(compose, prepared, work.faces_in_order, clock=clock)
                composed: Composed = await self._pictures.run(make)
                work.timings |= composed.timings
                self._metrics.observe(work.timings, "paste", "encode")
                keeping = time.monotonic()
                result = await patiently(lambda: self._files.keep(work.started, composed, name))
                work.timings["store"] = time.monotonic() - keeping
                self._metrics.observe(work.timings, "store")
                return Outcome(
                    JobStatus.SUCCEEDED, result, None, composed.faces, work.seconds, composed.references
                )
            except RestorationError as error:
                work.refuse(error)
            except GaveUp as error:
                log.error("job %s: its result cannot be kept: %s", work.job_id, error)
                work.abandoned = True
            except Exception as error:
                log.exception("job %s: storing failed", work.job_id)
                work.fail("inference-failed", f"Making the result failed: {type(error).__name__}.")
        work.timings |= clock.seconds
        failure = work.failure or JobFailure("inference-failed", "The job was lost inside the worker.")
        return Outcome(JobStatus.FAILED, None, failure, work.faces, work.seconds, work.references)

    def tell(self, work: Work, outcome: Outcome, kept: bool) -> None:
        """Log and count it. ``kept``: the outcome was recorded, it is the one that counts."""
        if not kept:
            work.story.ended("not_recorded")
            return
        work.story.recorded(outcome)
        self._metrics.job_duration.observe(work.story.seconds)
        reason = outcome.failure.code if outcome.failure is not None else ""
        self._metrics.jobs_finished.labels(outcome.status, reason).inc()
        for face in outcome.faces:
            self._metrics.faces.labels(face.action, face.reason or "").inc()

    async def clear_up(self, work: Work, outcome: Outcome, kept: bool) -> None:
        """Uploads go when the job has ended, results go when they were not recorded."""
        try:
            if not kept:
                if outcome.result is not None and isinstance(work.request, RestoreRequest):
                    await self._files.drop_result(outcome.result)
                job = await self._queue.get(work.job_id)
                canceled = job is not None and job.status is JobStatus.CANCELED
                self._metrics.jobs_finished.labels("canceled" if canceled else "not_recorded", "").inc()
                if job is not None and not job.status.terminal:
                    return  # somebody else is at it and needs the uploads
            await self._files.drop_uploads(work.request)
            await self._people.share(work)
        except (RedisError, OSError) as error:
            log.warning("job %s: blobs stay until they expire (%s)", work.job_id, error)

    async def clear_buried(self, job_id: str) -> None:
        """A job that ended without being started here (out of attempts, canceled) leaves its uploads behind."""
        try:
            job = await self._queue.get(job_id)
            story.buried(job, self._metrics)
            if job is not None and job.status.terminal:
                await self._files.drop_uploads(job.request)
                if (
                    job.status is JobStatus.EXPIRED
                ):  # it does not remember its references, but their names are known
                    await self._files.blobs.delete(*input_keys(job_id))
                await self._people.buried(job)
        except (RedisError, OSError) as error:
            log.warning("job %s: blobs stay until they expire (%s)", job_id, error)
