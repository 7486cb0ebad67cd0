"""A started job's way to the model: its uploads read, decoded, looked at and cut."""

import logging
import time
from collections.abc import Mapping
from functools import partial

from refstar_service.jobs.job import Task
from refstar_service.metrics import WorkerMetrics
from refstar_service.restoration.knobs import Knobs
from refstar_service.restoration.refusal import StepRefused
from refstar_service.restoration.steps import Model, Viewer, prepare
from refstar_service.restoration.stopwatch import Stopwatch
from refstar_service.worker.files import JobFiles
from refstar_service.worker.patience import GaveUp, patiently
from refstar_service.worker.people import StoredPeople
from refstar_service.worker.threads import Threads
from refstar_service.worker.work import Work

log = logging.getLogger(__name__)


class Intake:
    """Of one worker; ``pictures`` are the threads that decode and find faces."""

    def __init__(
        self,
        files: JobFiles,
        models: Mapping[str, Model],
        viewer: Viewer,
        people: StoredPeople,
        metrics: WorkerMetrics,
        pictures: Threads,
    ) -> None:
        self._files, self._models, self._viewer = files, models, viewer
        self._people, self._metrics, self._pictures = people, metrics, pictures

    async def read(self, work: Work) -> None:
        """Its uploads, and by their headers how much they will hold in memory."""
        began = time.monotonic()
        try:
            work.files = await patiently(lambda: self._files.read(work.request))
            work.recalled = await patiently(lambda: self._people.recalled(work.request))
            image, *references = (file.pixels(self._viewer.limits) for file in work.files)
            # The picture and its result; of the references, one at a time is decoded and cut.
            work.pixels = image * (1 + work.request.upscale**2) + max(references, default=0)
        except StepRefused as error:
            work.refuse(error)
        except GaveUp as error:
            log.error("job %s: its uploads cannot be read: %s", work.job_id, error)
            work.abandoned = True
        except Exception as error:
            log.exception("job %s: reading failed", work.job_id)
            work.fail("inference-failed", f"Reading the pictures failed: {type(error).__name__}.")
        work.timings["fetch"] = time.monotonic() - began
        self._metrics.observe(work.timings, "fetch")

    async def prepare(self, work: Work) -> None:
        """Ready for the model, unless it has failed or was abandoned by now."""
        files, work.files = work.files, []
        clock = Stopwatch()
        if work.failure is not None or work.abandoned:
            return
        try:
            model = self._models.get(work.request.model)
            if model is None:
                raise StepRefused("unknown-model", f"this worker has no model {work.request.model!r}")
            if work.request.task is Task.ENROLL:
                work.enrolled = await self._people.enroll(work, files, model, clock)
            else:
                make = partial(prepare, clock=clock, person=work.recalled)
                knobs = Knobs.of(work.request)
                prepared = await self._pictures.run(make, files[0], files[1:], knobs, model, self._viewer)
                work.prepared = prepared
                self._people.count(prepared.reference_work)
        except StepRefused as error:
            work.refuse(error)
        except Exception as error:
            log.exception("job %s: preparing failed", work.job_id)
            work.fail("inference-failed", f"Preparing the pictures failed: {type(error).__name__}.")
        work.timings |= clock.seconds
        self._metrics.observe(work.timings, "decode", "detect")
