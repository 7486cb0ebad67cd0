"""From restored faces to an outcome, and what follows once it is recorded: figures counted, blobs cleared away."""

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial

from refstar_service.blobs import STORE_ERRORS, BlobsFullError
from refstar_service.jobs import JobQueue
from refstar_service.jobs.job import JobResult, JobStatus, Outcome
from refstar_service.jobs.request import EnrollRequest, RestoreRequest, input_keys, job_of_shadow
from refstar_service.metrics.worker import WorkerMetrics
from refstar_service.restoration.errors import RestorationError, StepError
from refstar_service.restoration.steps import ComposedPicture, compose
from refstar_service.restoration.stopwatch import Stopwatch
from refstar_service.threads import Threads
from refstar_service.worker import story
from refstar_service.worker.files import JobFiles
from refstar_service.worker.patience import PATIENCE, GaveUpError, Patience
from refstar_service.worker.people import StoredPeople
from refstar_service.worker.shadows import NOWHERE, Shadows
from refstar_service.worker.transfers import Transfers
from refstar_service.worker.work import Work

log = logging.getLogger(__name__)

#: Seconds that may pass until a result that is kept is recorded too, its delivery apart: others of its batch are tried
#: for PATIENCE, and then the record of them all.
RECORDED_WITHIN = 2 * PATIENCE


class Results:
    """Of one worker; ``pictures`` are the threads that paste and encode."""

    def __init__(
        self,
        queue: JobQueue,
        files: JobFiles,
        people: StoredPeople,
        metrics: WorkerMetrics,
        pictures: Threads,
        patience: Patience,
        transfers: Transfers,
        shadows: Shadows,
    ) -> None:
        self._transfers = transfers
        self._queue, self._files, self._people, self._metrics = queue, files, people, metrics
        self._pictures, self._patience, self._shadows = pictures, patience, shadows

    async def compose(self, work: Work) -> None:
        """Its picture put together, or why it cannot be; `make_outcome` goes on from there."""
        prepared, work.prepared = work.prepared, None  # its pixels are not needed after this
        clock = Stopwatch()
        try:
            if prepared is None:
                raise RestorationError("inference-failed", "The job was lost inside the worker.")
            put_together = partial(compose, prepared, work.faces_in_order, clock=clock)
            work.composed = await self._pictures.run(put_together)
        except RestorationError as error:
            work.refuse(error)
        except Exception as error:
            log.exception("job %s: putting its picture together failed", work.job_id)
            work.fail("inference-failed", f"Making the result failed: {type(error).__name__}.")
        work.timings |= clock.seconds  # of what was refused too
        self._metrics.observe(work.timings, "review", "paste", "encode")

    async def make_outcome(self, work: Work, unwanted: Callable[[], bool] = lambda: False) -> Outcome | None:
        """The result made, kept and delivered, or why there is none. None: it cannot be kept now, or is `unwanted`;
        another worker is to try."""
        if work.failure is None and work.enrolled is None and work.composed is None:
            await self.compose(work)
        try:
            if work.failure is None:
                return await self._succeed(work, unwanted)
        except RestorationError as error:
            work.refuse(error)
        except BlobsFullError as error:
            log.error("job %s: there is no room for its result: %s", work.job_id, error)
            work.fail("storage-full", "There was no room to store the result.")
        except GaveUpError as error:
            log.error("job %s: its result cannot be kept or delivered: %s", work.job_id, error)
            return None
        except Exception as error:
            log.exception("job %s: storing failed", work.job_id)
            work.fail("inference-failed", f"Making the result failed: {type(error).__name__}.")
        return await self._fail(work)

    async def settle(self, work: Work, outcome: Outcome, kept: bool) -> None:
        """Log it, count it, and clear up what it leaves. ``kept``: it was recorded, so it is the one that counts."""
        if work.request.is_shadow:
            await self._shadows.settle(work, outcome, kept)
            return
        if kept:
            self._count(work, outcome)
        else:
            work.story.end("not_recorded")
        await self._clear_up(work, outcome, kept)

    async def bury(self, job_id: str) -> None:
        """A job that ended without an outcome of this worker's, before it was started here (out of attempts, canceled)
        or when it was given back (canceled, deleted): count it, delete its uploads."""
        try:
            job = await self._queue.get(job_id)
            if job_of_shadow(job_id):
                await self._shadows.bury(job_id, job)
                return
            story.count_buried(job, self._metrics)
            if job is not None and job.status.terminal:
                await self._files.drop_uploads(job.request)
                if job.status is JobStatus.EXPIRED or story.cannot_be_read(job):
                    # What it says of its uploads is gone, but their names are known.
                    await self._files.blobs.delete(*input_keys(job_id))
                await self._people.bury(job)
        except STORE_ERRORS as error:
            log.warning("job %s: blobs stay until they expire (%s)", job_id, error)

    async def _succeed(self, work: Work, unwanted: Callable[[], bool]) -> Outcome:
        """Raises RestorationError, GaveUpError and whatever goes wrong in between."""
        enrolled, work.enrolled = work.enrolled, None
        if enrolled is not None and isinstance(work.request, EnrollRequest):
            result = await self._people.keep(work.job_id, work.request, enrolled)
            return Outcome.succeeded(result, timings=work.seconds, references=enrolled.cut.reports)
        composed, work.composed = work.composed, None
        assert composed is not None
        assert isinstance(work.request, RestoreRequest)
        if work.request.is_shadow:
            compare = partial(self._shadows.compare, work, composed)
            work.comparison = await self._patience.wait_for(compare)
            return Outcome.succeeded(NOWHERE, faces=composed.faces, timings=work.seconds)
        keeping = time.monotonic()
        within = RECORDED_WITHIN + (self._transfers.timeout if work.output_url else 0.0)
        name = work.request.image.name
        keep = partial(self._files.keep, work.started, composed, name, recorded_within=within)
        result = await self._patience.wait_for(keep)
        work.timings["store"] = time.monotonic() - keeping
        self._metrics.observe(work.timings, "store")
        if work.output_url:
            result = await self._deliver(work, composed, result, unwanted)
        return Outcome.succeeded(
            result, faces=composed.faces, timings=work.seconds, references=composed.references
        )

    async def _deliver(
        self, work: Work, composed: ComposedPicture, result: JobResult, unwanted: Callable[[], bool]
    ) -> JobResult:
        """Put where the request wants it, before it counts as done. If it cannot be, the job has failed, and what was
        kept goes: whoever waits for the file must not be told that it is there."""
        began = time.monotonic()
        try:
            sending = self._transfers.deliver(work.output_url, composed.result)
            return replace(result, delivered_at=await self._patience.unless_over(sending, unwanted))
        except BaseException as error:
            with suppress(*STORE_ERRORS):  # then it stays until it expires
                await self._files.drop_result(result)
            if isinstance(error, StepError):
                raise StepError(error.code, error.detail, composed.faces, composed.references) from None
            raise
        finally:
            work.timings["deliver"] = time.monotonic() - began
            self._metrics.observe(work.timings, "deliver")

    async def _fail(self, work: Work) -> Outcome | None:
        assert work.failure is not None
        work.prepared = None
        if isinstance(work.request, EnrollRequest):
            # The person's record is settled before the job is: whoever waited for it finds why.
            try:
                await self._people.refuse(work.job_id, work.request, work.failure, work.references)
            except GaveUpError as error:
                log.error("person %s cannot be told of: %s", work.job_id, error)
                return None
        return Outcome.failed(
            work.failure, faces=work.faces, timings=work.seconds, references=work.references
        )

    def _count(self, work: Work, outcome: Outcome) -> None:
        work.story.record(outcome)
        reason = outcome.failure.code if outcome.failure is not None else ""
        self._metrics.count_job(outcome.status, reason, work.model, work.story.seconds)
        for face in outcome.faces:
            self._metrics.faces.labels(face.action, face.reason or "").inc()

    async def _clear_up(self, work: Work, outcome: Outcome, kept: bool) -> None:
        """Uploads go when the job has ended, results go when they were not recorded."""
        try:
            if not kept:
                # Counted first: what cannot be cleared up now expires, and has ended all the same.
                job = await self._queue.get(work.job_id)
                self._metrics.count_job(story.name_end(job), "", work.model)
                if outcome.result is not None and isinstance(work.request, RestoreRequest):
                    await self._files.drop_result(outcome.result)
                if job is not None and not job.status.terminal:
                    return  # somebody else is at it and needs the uploads
            if not kept or not await self._shadows.begin(work, outcome):
                await self._files.drop_uploads(work.request)
            await self._people.share(work)
        except STORE_ERRORS as error:
            log.warning("job %s: blobs stay until they expire (%s)", work.job_id, error)
