"""A started job's way to the model: its uploads read, decoded, looked at and cut."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from refstar_service.jobs.request import EnrollRequest, RestoreRequest
from refstar_service.metrics.worker import WorkerMetrics
from refstar_service.restoration.errors import RestorationError, StepError
from refstar_service.restoration.recalled import StoredReference
from refstar_service.restoration.steps import Model, PreparedPicture, Viewer, prepare
from refstar_service.restoration.stopwatch import Stopwatch
from refstar_service.restoration.upload import Upload
from refstar_service.threads import Threads
from refstar_service.worker.files import JobFiles
from refstar_service.worker.patience import GaveUpError, Patience
from refstar_service.worker.people import StoredPeople
from refstar_service.worker.transfers import Transfers, in_order
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
        patience: Patience,
        transfers: Transfers,
    ) -> None:
        self._transfers = transfers
        self._files, self._models, self._viewer = files, models, viewer
        self._people, self._metrics, self._pictures = people, metrics, pictures
        self._patience = patience

    async def download(self, work: Work, unwanted: Callable[[], bool]) -> None:
        """Its pictures that are named by URL; until it is `unwanted`."""
        began = time.monotonic()
        try:
            fetching = self._transfers.download(work.request)
            work.downloads = await self._patience.unless_over(fetching, unwanted)
        except RestorationError as error:
            work.refuse(error)
        except GaveUpError:
            work.abandoned = True
        except Exception as error:
            # Not with its words: they might repeat a URL, which may hold a secret.
            log.error("job %s: fetching its pictures failed: %s", work.job_id, type(error).__name__)
            work.fail("inference-failed", f"Fetching the pictures failed: {type(error).__name__}.")
        work.timings["download"] = time.monotonic() - began
        self._metrics.observe(work.timings, "download")

    async def read(self, work: Work) -> None:
        """Its uploads, and how much they will hold in memory."""
        if work.failure is not None or work.abandoned:
            return  # its pictures could not be fetched
        began = time.monotonic()
        try:
            stored = await self._patience.wait_for(lambda: self._files.read(work.request))
            work.files = in_order(work.request, stored, [one.file for one in work.downloads])
            recall = partial(self._people.recall_references, work)
            work.recalled = await self._patience.wait_for(recall)
            work.pixels = _count_pixels(work)
            work.downloads = ()  # they are among its files, which do not stay for long
        except RestorationError as error:
            work.refuse(error)
        except GaveUpError as error:
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
            match work.request:
                case EnrollRequest() as request:
                    work.enrolled = await self._people.enroll(work.job_id, request, files, clock)
                case RestoreRequest() as request:
                    work.prepared = await self._prepare(work.model, request, files, work.recalled, clock)
                    self._people.count(work.prepared.reference_work)
                    work.faces_found = len(work.prepared.tasks)
        except RestorationError as error:
            work.refuse(error)
        except Exception as error:
            log.exception("job %s: preparing failed", work.job_id)
            work.fail("inference-failed", f"Preparing the pictures failed: {type(error).__name__}.")
        work.timings |= clock.seconds
        self._metrics.observe(work.timings, "decode", "detect")

    async def _prepare(
        self,
        name: str,
        request: RestoreRequest,
        files: list[Upload],
        recalled: Sequence[StoredReference],
        clock: Stopwatch,
    ) -> PreparedPicture:
        model = self._models.get(name)
        if model is None:
            raise StepError("unknown-model", f"No worker has the model {name!r} any more.")
        people = [person.id for person in request.people]
        make = partial(prepare, clock=clock, recalled=recalled, people=people)
        return await self._pictures.run(make, files[0], files[1:], request.knobs, model, self._viewer)


def _count_pixels(work: Work) -> int:
    """That its pictures hold at the same time: of the references, one is decoded and cut after the other."""
    request = work.request
    stored, fetched = [file.pixels for file in request.uploads], [one.pixels for one in work.downloads]
    pixels = in_order(request, stored, fetched)
    if isinstance(request, EnrollRequest):
        return max(pixels)
    image, *references = pixels
    return image * (1 + request.knobs.upscale**2) + max(references, default=0)
