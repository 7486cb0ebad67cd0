"""The jobs that this worker holds: reserved, started, kept by heartbeats, and ended in exactly one way each."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
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
    """Of one worker. ``quiet`` is set while no started job is on its way through the stages."""

    def __init__(self, queue: JobQueue, fleet: Fleet, metrics: WorkerMetrics, patience: Patience) -> None:
        self._queue, self._fleet, self._metrics, self._patience = queue, fleet, metrics, patience
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
    ) -> tuple[list[Work], list[str]]:
        """Up to ``most`` jobs that have begun, of those that the fleet leaves to this worker, and the ids of those that
        had ended before they did; none after ``block`` seconds without work. ``drain`` sends on what waits outside of
        the stages.

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
        ended = []
        works = []
        for one, begun in zip(reserved, started, strict=True):
            if begun is None:
                self.forget([one])
                ended.append(one.job_id)
            elif self._fleet.is_stray(begun):
                await self._pass_on(begun)
            else:
                works.append(Work(begun, self._fleet.resolve(begun.request)))
                self._held[one.job_id] = begun
                self._begun.add(one.job_id)
                self.quiet.clear()
        return works, ended

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
            work.story.end("put_back")
            await self._queue_again(work.started, self._fleet.name_for(work.request))

    async def _pass_on(self, begun: Attempt) -> None:
        """To workers that have its version of the model; no attempt is counted."""
        model = begun.request.full_name
        log.info("job %s is for %s, which this worker does not have", begun.job_id, model)
        await self._queue_again(begun, model)

    async def _queue_again(self, begun: Attempt, model: str) -> None:
        """For workers that have this model."""
        try:
            await self._patience.wait_for(lambda: self._queue.release([begun], model=model))
        except GaveUpError as error:
            log.error(
                "job %s could not be passed on; another worker will take it over: %s", begun.job_id, error
            )
        self.forget([begun])

    async def record(self, done: Sequence[tuple[Work, Outcome]]) -> list[bool]:
        """Record each outcome that still counts; in order, whether it did. Raises GaveUpError."""
        outcomes = [(work.started, outcome) for work, outcome in done]
        try:
            finish = partial(self._queue.finish, outcomes, faces=_count_faces([work for work, _ in done]))
            return await self._patience.wait_for(finish) if outcomes else []
        finally:
            self.forget([work.started for work, _ in done])

    async def give_back(self, works: Sequence[Work]) -> None:
        """Another worker has them at once, and no attempt is counted."""
        if not works:
            return
        held: list[Attempt] = [work.started for work in works]
        for work in works:
            work.story.end("given_back")
        try:
            await self._patience.wait_for(partial(self._queue.release, held, faces=_count_faces(works)))
        except GaveUpError as error:
            log.error(
                "%d jobs could not be given back; another worker will take them over: %s", len(held), error
            )
        self.forget(held)

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
