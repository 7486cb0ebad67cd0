"""What the pipeline asks about stored people: their references for a job, and the enrollment of new ones."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial

from refstar_service.blobs import STORE_ERRORS, BlobsFullError
from refstar_service.jobs.job import Job, JobFailure, JobResult
from refstar_service.jobs.request import EnrollRequest, RestoreRequest
from refstar_service.metrics.worker import WorkerMetrics
from refstar_service.people import blob_keys
from refstar_service.restoration.errors import StepError
from refstar_service.restoration.recalled import StoredReference
from refstar_service.restoration.report import ReferenceReport
from refstar_service.restoration.steps import Model, Viewer
from refstar_service.restoration.stopwatch import Stopwatch
from refstar_service.restoration.upload import Upload
from refstar_service.threads import Threads
from refstar_service.worker.enrollment import EnrolledFaces, cut_references, encode_references, keep, refuse
from refstar_service.worker.patience import Patience
from refstar_service.worker.recall import PERSON_GONE, Recall
from refstar_service.worker.work import Work

log = logging.getLogger(__name__)


class StoredPeople:
    """For one worker. ``pictures`` and ``model`` are its threads; a failed person says so for ``failed_ttl`` seconds.
    Without ``recall``, every job that names a person is refused."""

    def __init__(
        self,
        recall: Recall | None,
        models: Mapping[str, Model],
        viewer: Viewer,
        metrics: WorkerMetrics,
        *,
        pictures: Threads,
        model: Threads,
        failed_ttl: float,
        patience: Patience,
    ) -> None:
        self._known, self._models, self._viewer, self._metrics = recall, models, viewer, metrics
        self._pictures, self._model = pictures, model
        self._failed_ttl, self._patience = failed_ttl, patience

    async def recall_references(self, work: Work) -> tuple[StoredReference, ...]:
        """The references of the people whom a restoration names. Raises StepError, and the troubles of Redis and of
        the blob store."""
        request, model = work.request, self._models.get(work.model)
        if not isinstance(request, RestoreRequest) or not request.people or model is None:
            return ()
        return await self._recall.references(request.people, model)

    async def share(self, work: Work) -> None:
        """Keep with the people what the job had to encode. Raises the troubles of Redis and of the blob store."""
        request, model = work.request, self._models.get(work.model)
        if isinstance(request, RestoreRequest) and work.recalled and model:
            await self._recall.share(request.people, work.recalled, model.restorer)

    async def enroll(
        self, job_id: str, request: EnrollRequest, uploads: Sequence[Upload], clock: Stopwatch
    ) -> EnrolledFaces:
        """The references of a person, cut, and encoded for every model that looks at references. Raises StepError."""
        person_id = request.person or job_id
        size = max(model.size for model in self._models.values())  # a larger crop serves smaller models too
        look = partial(cut_references, person_id, uploads, request, size, self._viewer, clock)
        cut = await self._pictures.run(look)
        self.count(cut.work)
        encoded = {}
        with clock("infer"):
            for one in self._models.values():
                if one.restorer.encoder and one.restorer.encoder not in encoded:
                    encoded[one.restorer.encoder] = await self._model.run(encode_references, cut, one)
                    self.count(["encode"] * len(cut.pictures))
        return EnrolledFaces(cut, encoded)

    async def keep(self, job_id: str, request: EnrollRequest, enrolled: EnrolledFaces) -> JobResult:
        """Store everything of a person's references, then mark them as ready. Raises StepError (person-gone),
        GaveUpError and BlobsFullError; where it is the last, nothing is left of what was stored."""
        try:
            result = await self._patience.wait_for(lambda: keep(self._recall, job_id, request, enrolled))
        except BlobsFullError:
            person_id, numbers = request.person or job_id, enrolled.cut.names.keys()
            with suppress(*STORE_ERRORS):  # then it stays until it expires
                await self._recall.blobs.delete(*blob_keys(person_id, enrolled.features, numbers))
            raise
        if result is None:
            raise StepError(PERSON_GONE, "The person was deleted.")
        return result

    async def refuse(
        self,
        job_id: str,
        request: EnrollRequest,
        failure: JobFailure,
        reports: Sequence[ReferenceReport] = (),
    ) -> None:
        """Say with the person why no use can be made of the references. Raises GaveUpError."""
        recall = self._known
        if recall is not None:
            say = partial(refuse, recall, job_id, request, failure, reports, self._failed_ttl)
            await self._patience.wait_for(say)

    async def bury(self, job: Job) -> None:
        """A job that ended without being started: if it was an enrollment, its person learns of it. Raises the troubles
        of Redis."""
        if isinstance(job.request, EnrollRequest) and job.failure and self._known is not None:
            await refuse(self._known, job.id, job.request, job.failure, (), self._failed_ttl)

    async def forget_deleted(self) -> None:
        """Of people who are gone, nothing stays in memory."""
        if self._known is not None:
            await self._known.forget_deleted([model.restorer for model in self._models.values()])

    def count(self, steps: Sequence[str]) -> None:
        """Steps of work on references that were done."""
        for step in steps:
            self._metrics.reference_work.labels(step).inc()

    @property
    def _recall(self) -> Recall:
        if self._known is None:
            raise StepError(PERSON_GONE, "This worker has no access to stored people.")
        return self._known
