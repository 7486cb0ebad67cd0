"""Jobs that another version of a model does once more, for comparison: nobody is given their results, which are never
stored, and nothing of them is left when they have ended."""

import logging
from dataclasses import replace
from functools import partial

from refstar_service.blobs import STORE_ERRORS
from refstar_service.images import ImageError, ImageLimits
from refstar_service.jobs import Job, JobQueue, JobStatus, Priority, QueueFullError
from refstar_service.jobs.job import JobResult, Outcome
from refstar_service.jobs.request import (
    EnrollRequest,
    RestoreRequest,
    StoredFile,
    input_keys,
    job_of_shadow,
    shadow_id,
)
from refstar_service.metrics.worker import WorkerMetrics
from refstar_service.restoration.comparison import Comparison, compare_faces, compare_pixels
from refstar_service.restoration.report import FaceReport
from refstar_service.restoration.steps import ComposedPicture
from refstar_service.threads import Threads
from refstar_service.worker.files import JobFiles
from refstar_service.worker.work import Work

log = logging.getLogger(__name__)

#: The result of a shadow, as its record has it for a moment.
NOWHERE = JobResult(StoredFile("", "", "", 0, ""), None)
#: Stages whose seconds are compared: what the model has no part in takes the same.
_STAGES = ("decode", "detect", "infer", "review", "paste", "encode")


class Shadows:
    """Of one worker; ``pictures`` are the threads that decode. At most ``most`` shadows wait, for ``ttl`` seconds each:
    as long as there is something to compare them to."""

    def __init__(
        self,
        queue: JobQueue,
        files: JobFiles,
        metrics: WorkerMetrics,
        pictures: Threads,
        limits: ImageLimits,
        *,
        most: int,
    ) -> None:
        self._queue, self._files, self._metrics, self._pictures = queue, files, metrics, pictures
        # A result may be larger than what may be sent.
        self._limits = replace(limits, max_bytes=max(limits.max_bytes, 2**30))
        self._most = most

    async def begin(self, work: Work, outcome: Outcome) -> bool:
        """Queue the shadow that a job asks for once it has succeeded. False: there is none, and the uploads have served
        their purpose. Raises the troubles of Redis."""
        request = work.request
        if not isinstance(request, RestoreRequest) or not request.shadow:
            return False
        if outcome.status is not JobStatus.SUCCEEDED:
            return False
        again = request.as_shadow(work.job_id)
        ttl = self._queue.result_ttl
        try:
            await self._queue.submit(
                shadow_id(work.job_id), again, priority=Priority.SPARE, limit=self._most, ttl=ttl
            )
        except QueueFullError:
            self._metrics.count_shadow(request.shadow, "left_out")
            return False
        return True

    async def compare(self, work: Work, composed: ComposedPicture) -> Comparison | None:
        """What was made once more, beside what its job made; None if that is gone. Raises the troubles of Redis and of
        the blob store."""
        request = work.request
        assert isinstance(request, RestoreRequest)
        first = await self._queue.get(request.of)
        if first is None or first.status is not JobStatus.SUCCEEDED or first.result is None:
            return None
        data = await self._files.blobs.get(first.result.image.key)
        if data is None:
            return None
        faces = [*first.faces, *composed.faces]
        measure = partial(self._measure, data, composed.result.data, faces, request)
        return Comparison(
            compare_faces(first.faces, composed.faces),
            await self._pictures.run(measure),
            (_sum_up(first.timings), _sum_up(work.seconds)),
        )

    def _measure(
        self, data: bytes, other: bytes, faces: list[FaceReport], request: RestoreRequest
    ) -> float | None:
        try:
            return compare_pixels(data, other, faces, request.knobs, self._limits)
        except ImageError as error:
            log.warning("the results of job %s cannot be compared: %s", request.of, error.detail)
            return None

    async def settle(self, work: Work, outcome: Outcome, kept: bool) -> None:
        """Count and log it, and delete all that is left of it."""
        if kept:
            self._count(work, outcome)
        else:
            work.story.end("not_recorded")
        await self._clear_up(work.job_id, work.request)

    async def bury(self, job_id: str, job: Job | None) -> None:
        """One that ended without being started here."""
        request = job.request if job is not None else None
        if isinstance(request, RestoreRequest):
            self._metrics.count_shadow(request.shadow or request.full_name, "failed")
        await self._clear_up(job_id, request)

    def _count(self, work: Work, outcome: Outcome) -> None:
        work.story.record(outcome)
        compared = work.comparison
        if outcome.failure is not None:
            gone = outcome.failure.code == "input-expired"
            self._metrics.count_shadow(work.model, "gone" if gone else "failed")
            return
        if compared is None:
            self._metrics.count_shadow(work.model, "gone")
            return
        self._metrics.count_shadow(work.model, "compared")
        self._metrics.observe_shadow(work.model, compared.seconds, compared.psnr, vars(compared.faces))
        log.info(
            "job %s: shadow of %s by %s",
            work.job_id,
            work.request.of if isinstance(work.request, RestoreRequest) else "",
            work.model,
            extra={"psnr": compared.psnr, "faces": vars(compared.faces), "seconds": compared.seconds},
        )

    async def _clear_up(self, job_id: str, request: RestoreRequest | EnrollRequest | None) -> None:
        """The uploads, which its job left to it, and its record."""
        try:
            named = {file.key for file in request.uploads} if request is not None else set()
            await self._files.blobs.delete(*named, *input_keys(job_of_shadow(job_id)))
            await self._queue.delete(job_id)
        except STORE_ERRORS as error:
            log.warning("job %s: blobs stay until they expire (%s)", job_id, error)


def _sum_up(timings: dict[str, float]) -> float:
    return sum(seconds for stage, seconds in timings.items() if stage in _STAGES)
