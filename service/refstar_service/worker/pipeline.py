"""The worker: fetch | infer | store, overlapped.

While one batch is in the model, the next is reserved, decoded and uploaded, and the last one encoded and stored: the
same on a CPU and on a GPU. Between the stages lies at most one batch each, so memory is bounded and a worker that dies
holds little. Batches of large pictures are taken in portions, so that five portions of decoded pixels are the most
there is at a time.

At the model, jobs take turns: each round takes a face of every job there before a second one of any, and a job that
has all of its faces goes on to be stored. On a GPU, a round is a batch, and there is one at a time; on a CPU it is a
face, and as many rounds are under way as there are cores.

Jobs that wait for servers outside do so beside the stages (``outside.py``): for pictures from URLs before the first,
and until their result is put where they want it after the last. Nobody else waits for them.

A started job ends in exactly one way: recorded by ``finish``, or given back. Heartbeats keep the held ones; when the
process dies they stop, and another worker takes over.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial

from redis.exceptions import RedisError

from refstar_service.jobs import JobQueue
from refstar_service.jobs.job import Outcome
from refstar_service.jobs.presence import WorkerInfo
from refstar_service.metrics.worker import WorkerMetrics
from refstar_service.restoration.steps import Model, Viewer
from refstar_service.threads import Threads
from refstar_service.worker import story
from refstar_service.worker.errands import repeat
from refstar_service.worker.files import JobFiles
from refstar_service.worker.fleet import GRACE, Fleet
from refstar_service.worker.holdings import Holdings
from refstar_service.worker.intake import Intake
from refstar_service.worker.outside import Outside
from refstar_service.worker.patience import GaveUpError, Patience
from refstar_service.worker.people import StoredPeople
from refstar_service.worker.progress import REPORT_EVERY, ProgressReports
from refstar_service.worker.recall import Recall
from refstar_service.worker.results import Results
from refstar_service.worker.rounds import Rounds
from refstar_service.worker.shadows import Shadows
from refstar_service.worker.transfers import Transfers
from refstar_service.worker.work import Turn, Work, next_round, portions

log = logging.getLogger(__name__)

ANNOUNCE_EVERY = 3.0  # seconds
PRESENT_FOR = 12.0  # seconds that an announcement holds: a few may be missed
HOUSEKEEPING_EVERY = 600.0  # seconds
FORGET_EVERY = 5.0  # seconds until nothing of a person who was deleted is in memory any more
IDLE = 2.0  # seconds in which a worker without work looks for some that it was not called for
BUSY = 0.5  # seconds in which one with jobs under way looks whether it has none any more, or is to end
SOON = 0.05  # seconds in which it looks for pictures that have come from URLs
LAST_WORDS = 5.0  # seconds for whatever is still under way when the stages have ended


class Worker:
    """One per process. ``run`` returns when ``stopping`` is set and everything held has ended."""

    def __init__(
        self,
        queue: JobQueue,
        files: JobFiles,
        models: Mapping[str, Model],
        info: WorkerInfo,
        *,
        metrics: WorkerMetrics,
        viewer: Viewer,
        max_batch: int,
        max_batch_pixels: int,
        picture_threads: int,
        rounds_at_once: int = 1,
        faces_at_once: int | None = None,
        announced: Callable[[], None] = lambda: None,
        recall: Recall | None = None,
        model_grace: float = GRACE,
        transfers: Transfers | None = None,
        transfers_at_once: int = 16,
        defaults: Mapping[str, str] | None = None,
        most_shadows: int = 16,
    ) -> None:
        """``max_batch``: jobs reserved at a time; ``max_batch_pixels``: decoded at a time. A round has at most
        ``faces_at_once`` (None: ``max_batch``), and at most ``rounds_at_once`` are under way.

        ``picture_threads`` decode, find faces, paste and encode. ``announced`` is called whenever Redis has heard that
        this worker is there. Without ``recall``, jobs that name a stored person fail. Jobs of models that no live
        worker has had for ``model_grace`` seconds fail too. Without ``transfers``, so do jobs with URLs; at most
        ``transfers_at_once`` wait for pictures, and as many for their delivery; those of one owner never take all of
        these places. ``defaults``: which of ``models`` a name without a version means. ``most_shadows`` wait to be done
        once more for comparison.
        """
        self.queue, self.info, self.announced = queue, info, announced
        self.max_batch, self.max_batch_pixels = max_batch, max_batch_pixels
        self.rounds_at_once, self.faces_at_once = rounds_at_once, faces_at_once or max_batch
        self._pictures = Threads(picture_threads, "picture")
        self._model = Threads(rounds_at_once, "model")
        self._patience = Patience()
        self.people = StoredPeople(
            recall,
            models,
            viewer,
            metrics,
            pictures=self._pictures,
            model=self._model,
            failed_ttl=queue.result_ttl,
            patience=self._patience,
        )
        transfers = transfers or Transfers(None, viewer.limits, most_bytes=0, timeout=0.0)
        self.intake = Intake(
            files, models, viewer, self.people, metrics, self._pictures, self._patience, transfers
        )
        self.rounds = Rounds(models, metrics, self._model)
        self.shadows = Shadows(queue, files, metrics, self._pictures, viewer.limits, most=most_shadows)
        self.results = Results(
            queue, files, self.people, metrics, self._pictures, self._patience, transfers, self.shadows
        )
        self.fleet = Fleet(queue, models, model_grace, defaults=defaults)
        self.holdings = Holdings(queue, self.fleet, metrics, self._patience, self.results.bury)
        self._outside = Outside(self.holdings, self.intake, transfers_at_once)
        self.progress = ProgressReports(queue, lambda: self.holdings.begun)
        self._fetched: asyncio.Queue[list[Work] | None] = asyncio.Queue()
        self._inferred: asyncio.Queue[list[Work] | None] = asyncio.Queue(1)
        self._room = asyncio.Semaphore(1)  # one fetched portion may wait for the model
        self._waiting: list[Work] = []  # that portion, when it is there
        self._changed = asyncio.Event()  # something that the model's stage waits for
        self._ended = asyncio.Event()

    async def run(self, stopping: asyncio.Event) -> None:
        self._patience.heed(stopping)
        errands: Sequence[tuple[Callable[[], Awaitable[object]], float]] = (
            (self.holdings.beat, self.queue.stale_after / 3),
            (self._announce, ANNOUNCE_EVERY),
            (self.progress.report, REPORT_EVERY),
            (self.queue.housekeeping, HOUSEKEEPING_EVERY),
            (self.people.forget_deleted, FORGET_EVERY),
        )
        helpers = [asyncio.create_task(repeat(act, every, self._ended)) for act, every in errands]
        waker = asyncio.create_task(self._stop_waiting(stopping))
        acts = (self._fetch(stopping), self._infer(stopping), self._store())
        stages = [asyncio.create_task(act) for act in acts]
        # Flags and time limits, not cancellation alone: on Python 3.11 a cancellation that meets the end of a Redis
        # call can get lost, and a worker that hangs here would keep its jobs from everybody else.
        ended, going_on = await asyncio.wait(stages, return_when=asyncio.FIRST_EXCEPTION)
        self._ended.set()
        for task in (waker, *going_on):
            task.cancel()
        await asyncio.wait([waker, *helpers, *going_on], timeout=LAST_WORDS)
        with suppress(RedisError, OSError, TimeoutError):
            async with asyncio.timeout(LAST_WORDS):
                await self.queue.withdraw_worker(self.info.name)
        await self.rounds.end(LAST_WORDS)
        for threads in (self._pictures, self._model):
            threads.end()
        for stage in ended:
            stage.result()  # raises what made it end

    # The three stages.

    async def _fetch(self, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            await self._room.acquire()
            batch: Sequence[Work] = ()
            while not batch and not stopping.is_set():
                batch = self._outside.take() or await self._begin_jobs(stopping)
            await self._take_in(batch, stopping)
            if any(work.started.attempt > 1 for work in batch):
                await self.holdings.quiet.wait()
        if left := await self._outside.end_downloads():
            await self._fetched.put(left)  # to be given back
        await self._fetched.put(None)
        self._changed.set()

    async def _begin_jobs(self, stopping: asyncio.Event) -> list[Work]:
        """New ones; those that name pictures by URL come when they have them."""
        if self._outside.full:
            await self._outside.wait(BUSY)
            return []
        try:
            block = SOON if self._outside.busy else IDLE if self.holdings.quiet.is_set() else BUSY
            drain = partial(self._outside.drain, partial(self._take_in_all, stopping))
            most = self._outside.wanted(self.max_batch)
            begun = await self.holdings.reserve_and_start(most, block, drain)
        except GaveUpError as error:
            log.error("no jobs can be fetched: %s", error)
            return []
        ready, beyond = self._outside.admit(begun)
        await self.holdings.put_back(beyond)
        kept = [work for work in begun if work not in beyond]
        self.holdings.count(kept)
        self.progress.follow(kept)
        if any(work.started.attempt > 1 for work in begun):
            await self._outside.wait()  # it runs alone
        elif begun and not ready:
            await self._outside.rest()
        return ready

    async def _take_in_all(self, stopping: asyncio.Event, batch: Sequence[Work]) -> None:
        """One batch after the other, before the next call of this stage."""
        await self._take_in(batch, stopping)
        await self._room.acquire()

    async def _take_in(self, batch: Sequence[Work], stopping: asyncio.Event) -> None:
        """Read and prepared, portion by portion. The first one takes up the room that is there."""
        await asyncio.gather(*(work.story.tell("fetch", self.intake.read(work)) for work in batch))
        for number, portion in enumerate(portions(batch, self.max_batch_pixels)):
            if number:
                await self._room.acquire()
            if not stopping.is_set():  # else they are given back as they are
                await asyncio.gather(*(work.story.tell("prepare", self._prepare(work)) for work in portion))
            await self._fetched.put(portion)
            self._waiting = portion
            self._changed.set()

    async def _infer(self, stopping: asyncio.Event) -> None:
        here: list[Work] = []
        rounds: set[asyncio.Task[None]] = set()
        more = True
        try:
            while more or here or rounds:
                self._changed.clear()
                while more and self._takes_more(here):
                    portion = self._fetched.get_nowait()
                    if portion is None:
                        more = False
                        break
                    self._waiting = []
                    self._room.release()
                    here += portion
                given_back = [work for work in here if self._leaves(work, stopping.is_set())]
                await self.holdings.give_back(given_back)
                here = [work for work in here if work not in given_back]
                # What is through stays until it can go on to be stored, and counts as here so long.
                through = [work for work in here if not work.faces_left]
                if through and not self._inferred.full():
                    self._inferred.put_nowait(through)
                    here = [work for work in here if work.faces_left]
                while len(rounds) < self.rounds_at_once and (turns := next_round(here, self.faces_at_once)):
                    served = [turn.work for turn in turns]
                    here = [work for work in here if work not in served] + served
                    rounds.add(self._begin_round(turns))
                self._look_ahead(here)
                if more and self._takes_more(here):
                    continue  # what was given back has left room
                if more or here or rounds:
                    await self._changed.wait()
                for done in [one for one in rounds if one.done()]:
                    rounds.remove(done)
                    done.result()  # raises what ended it, which no job is to blame for
        finally:
            for one in rounds:
                one.cancel()
        await self._inferred.put(None)

    async def _store(self) -> None:
        while (batch := await self._inferred.get()) is not None:
            self._changed.set()
            far = [work for work in batch if work.output_url]
            await asyncio.gather(
                self._end_jobs([work for work in batch if work not in far]),
                *(self._end_aside(work) for work in far),
            )
        await self._outside.end_deliveries()

    async def _end_aside(self, work: Work) -> None:
        """One whose result is put somewhere: what takes memory is done when this returns, and the rest goes on."""
        await work.story.tell("compose", self.results.compose(work))
        self._outside.deliver(work, partial(self._end_jobs, [work]))

    async def _end_jobs(self, works: Sequence[Work]) -> None:
        outcomes = await asyncio.gather(
            *(work.story.tell("store", self._make_outcome(work)) for work in works)
        )
        made = list(zip(works, outcomes, strict=True))
        await self.holdings.give_back([work for work, outcome in made if outcome is None])
        await self._record([(work, outcome) for work, outcome in made if outcome is not None])

    async def _make_outcome(self, work: Work) -> Outcome | None:
        return await self.results.make_outcome(work, partial(self.holdings.is_unwanted, work.job_id))

    async def _record(self, done: list[tuple[Work, Outcome]]) -> None:
        try:
            recorded = await self.holdings.record(done)
        except GaveUpError as error:
            log.error("%d outcomes could not be recorded, their jobs will run again: %s", len(done), error)
            for work, _ in done:
                work.story.end("not_recorded")
            return
        for (work, outcome), kept in zip(done, recorded, strict=True):
            await self.results.settle(work, outcome, kept)

    # What they are made of.

    async def _prepare(self, work: Work) -> None:
        if not self.holdings.is_unwanted(work.job_id):
            await self.intake.prepare(work)

    def _begin_round(self, turns: list[Turn]) -> asyncio.Task[None]:
        """One round, under way."""
        for turn in turns:
            turn.begin()
        task = asyncio.create_task(self._restore(turns))
        task.add_done_callback(lambda _: self._changed.set())
        return task

    async def _restore(self, turns: list[Turn]) -> None:
        with story.trace_inference([turn.work.story for turn in turns], sum(turn.count for turn in turns)):
            await self.rounds.restore(turns)

    def _look_ahead(self, here: list[Work]) -> None:
        """The next round is made ready, as far as it can be told: from the jobs that are ``here``, and the portion that
        waits by now. Rounds that go on side by side leave no time in which nothing is computed, so they do without."""
        if self.rounds_at_once > 1:
            return
        left = [work for work in here if work.faces_waiting]
        if self._waiting and (not left or self._fits_beside(left)):
            left += self._waiting
        if expected := next_round(left, self.faces_at_once):
            self.rounds.expect(expected)

    def _takes_more(self, here: list[Work]) -> bool:
        """Whether the model's stage takes another portion: one is there, and nothing else or room beside it."""
        return not self._fetched.empty() and (not here or self._fits_beside(here))

    def _fits_beside(self, here: list[Work]) -> bool:
        return len(here) < self.max_batch and sum(work.pixels for work in here) <= self.max_batch_pixels

    def _leaves(self, work: Work, stopping: bool) -> bool:
        """Whether it goes back: out of reach, canceled, or not through when the worker ends. Then another worker has it
        at once, and no attempt is counted."""
        if work.abandoned or self.holdings.is_unwanted(work.job_id):
            return True
        return stopping and (work.faces_waiting > 0 or (work.prepared is None and work.failure is None))

    # Beside the stages.

    async def _announce(self) -> None:
        await self.queue.announce_worker(self.info, PRESENT_FOR)
        await self.fleet.look()
        self.announced()

    async def _stop_waiting(self, stopping: asyncio.Event) -> None:
        await stopping.wait()
        with suppress(RedisError, OSError):  # then it waits until it looks by itself
            await self.queue.stop_waiting()
