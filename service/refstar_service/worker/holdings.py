"""The jobs that this worker holds: reserved, started, kept by heartbeats, and ended in exactly one way each."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

from refstar_service.jobs import JobQueue
from refstar_service.jobs.job import Outcome
from refstar_service.jobs.reservation import Attempt, Held
from refstar_service.metrics.worker import WorkerMetrics
from refstar_service.worker.fleet import Fleet
from refstar_service.worker.patience import GaveUpError, Patience
from refstar_service.worker.work import Work

log = logging.getLogger(__name__)


class Holdings:
    """Of one worker. ``quiet`` is set while no started job is on its way through the stages. ``bury`` is told the id of
    each job that ended without an outcome of this worker's, when nobody else will hear of that."""

    def __init__(
        self,
        queue: JobQueue,
        fleet: Fleet,
        metrics: WorkerMetrics,
        patience: Patience,
        bury: Callable[[str], Awaitable[None]],
    ) -> None:
        self._queue, self._fleet, self._metrics, self._patience = queue, fleet, metrics, patience
        self._bury = bury
        self._held: dict[str, Held] = {}
        self._unwanted: set[str] = set()  # canceled or taken over while held
        self._begun: set[str] = set()  # started jobs on their way through the stages
        self.quiet = asyncio.Event()
        self.quiet.set()

    @property
    def held(self) -> frozenset[str]:
        """Ids of all jobs that heartbeats keep."""
        return frozenset(self._held)

    @property
    def begun(self) -> frozenset[str]:
        """Those of them whose attempt is counted."""
        return frozenset(self._begun)

    def is_unwanted(self, job_id: str) -> bool:
        """Whether it was canceled, or another worker has it by now."""
        return job_id in self._unwanted

    async def reserve_and_start(
        self, most: int, block: float, drain: Callable[[], Awaitable[None]]
    ) -> list[Work]:
        """Up to ``most`` jobs that have begun, of those that the fleet leaves to this worker; none after ``block``
        seconds without work. ``drain`` sends on what waits outside of the stages.

        Raises GaveUpError; whatever was reserved by then goes stale and to another worker.
        """
        models, others = self._fleet.models, self._fleet.others
        reserve = partial(
            self._queue.reserve,
            most,
            block=block,
            models=models,
            others=others,
            spare=self.quiet.is_set(),
        )
        found = await self._patience.wait_for(reserve, when_stopping=0)
        # What looked stale may be this worker's own, after a pause of the machine: that goes on as it is.
        reserved = [one for one in found if one.job_id not in self._held]
        self._held.update((one.job_id, one) for one in reserved)
        if any(one.retried for one in reserved):
            # It may be what killed a worker. Nobody else's attempt may be spent on finding out, so it runs with an
            # empty pipeline before it and behind it.
            await drain()
            await self.quiet.wait()
        try:
            started = await self._patience.wait_for(lambda: self._queue.start(reserved), when_stopping=0)
        except GaveUpError:
            self.forget(reserved)
            raise
        works = []
        for one, begun in zip(reserved, started, strict=True):
            if begun is None:
                self.forget([one])
                await self._bury(one.job_id)
            elif self._fleet.is_stray(begun):
                await self._pass_on(begun)
            else:
                works.append(Work(begun, self._fleet.resolve(begun.request)))
                self._held[one.job_id] = begun
                self._begun.add(one.job_id)
                self.quiet.clear()
        return works

    def count(self, works: Sequence[Work]) -> None:
        """These have come out of the queue and go on here."""
        for begun in (work.started for work in works if not work.request.is_shadow):
            if begun.attempt > 1:
                self._metrics.jobs_redelivered.inc()
            else:
                self._metrics.job_queue_duration.observe(begun.waited)

    async def put_back(self, works: Sequence[Work]) -> None:
        """Into the queue, behind all others of their owners, whose turn they have had; no attempt is counted."""
        for work in works:
            [ended] = await self._release([work.started], model=self._fleet.name_for(work.request))
            work.story.end("not_recorded" if ended else "put_back")

    async def _pass_on(self, begun: Attempt) -> None:
        """To workers that have its version of the model; no attempt is counted."""
        model = begun.request.full_name
        log.info("job %s is for %s, which this worker does not have", begun.job_id, model)
        await self._release([begun], model=model)

    async def record(self, done: Sequence[tuple[Work, Outcome]]) -> list[bool]:
        """Record each outcome that still counts; in order, whether it did. Raises GaveUpError."""
        outcomes = [(work.started, outcome) for work, outcome in done]
        try:
            finish = partial(self._queue.finish, outcomes, faces=_count_faces([work for work, _ in done]))
            return await self._patience.wait_for(finish) if outcomes else []
        finally:
            self.forget([work.started for work, _ in done])

    async def give_back(self, works: Sequence[Work]) -> None:
        """Another worker has them at once, and no attempt is counted. Those that their owners have ended meanwhile are
        buried."""
        ended = await self._release([work.started for work in works], faces=_count_faces(works))
        for work, is_over in zip(works, ended, strict=True):
            work.story.end("not_recorded" if is_over else "given_back")

    async def _release(
        self, held: Sequence[Attempt], *, model: str = "", faces: Mapping[str, int] | None = None
    ) -> list[bool]:
        """They are no longer this worker's; whether they have ended, in order."""
        ended = [False] * len(held)
        if held:
            try:
                release = partial(self._queue.release, held, model=model, faces=faces)
                ended = await self._patience.wait_for(release)
            except GaveUpError as error:
                log.error(
                    "%d jobs could not be given back; another worker will take them over: %s",
                    len(held),
                    error,
                )
            self.forget(held)
        for one, is_over in zip(held, ended, strict=True):
            if is_over:
                await self._bury(one.job_id)
        return ended

    async def beat(self) -> None:
        """Keep what is held, and hear what is not wanted any more."""
        lost = await self._queue.heartbeat(list(self._held.values()))
        self._unwanted.update(one.job_id for one in lost if one.job_id in self._held)
        self._metrics.heartbeat.set_to_current_time()

    def forget(self, held: Sequence[Held]) -> None:
        """They are no longer this worker's."""
        for one in held:
            self._held.pop(one.job_id, None)
            self._unwanted.discard(one.job_id)
            self._begun.discard(one.job_id)
        if not self._begun:
            self.quiet.set()


def _count_faces(works: Sequence[Work]) -> dict[str, int]:
    """How many of each job have come to the model."""
    return {work.job_id: work.turned for work in works}
