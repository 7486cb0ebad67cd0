"""The worker: fetch | infer | store, overlapped.

While one batch is in the model, the next is reserved and decoded and the last one encoded and stored. Between the
stages lies at most one batch each, so memory is bounded and a worker that dies holds little. Batches of large pictures
are taken in portions, so that five portions of decoded pixels are the most there is at a time.

At the model, jobs take turns: each round takes a face of every job there before a second one of any, and a job that
has all of its faces goes on to be stored.

A started job ends in exactly one way: recorded by ``finish``, or given back. Heartbeats keep the held ones; when the
process dies they stop, and another worker takes over.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from typing import TypeVar

from redis.exceptions import RedisError

from refstar_service.jobs import JobQueue
from refstar_service.jobs.job import JobFailure, JobStatus, Outcome, Task, input_keys
from refstar_service.jobs.presence import WorkerInfo
from refstar_service.jobs.reservation import Held, Started
from refstar_service.metrics import WorkerMetrics
from refstar_service.worker import story
from refstar_service.worker.files import JobFiles
from refstar_service.worker.job_steps import Composed, Model, Viewer, compose, prepare
from refstar_service.worker.knobs import Knobs
from refstar_service.worker.patience import GaveUp, patiently
from refstar_service.worker.people import StoredPeople
from refstar_service.worker.recall import Recall
from refstar_service.worker.refusal import StepRefused
from refstar_service.worker.stopwatch import Stopwatch
from refstar_service.worker.work import Turn, Work, next_round, portions

log = logging.getLogger(__name__)
T = TypeVar("T")

ANNOUNCE_EVERY = 3.0  # seconds
PRESENT_FOR = 12.0  # seconds that an announcement holds: a few may be missed
HOUSEKEEPING_EVERY = 600.0  # seconds
FORGET_EVERY = 5.0  # seconds until nothing of a person who was deleted is in memory any more
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
        announced: Callable[[], None] = lambda: None,
        recall: Recall | None = None,
    ) -> None:
        """``max_batch``: jobs reserved, and faces restored, at a time; ``max_batch_pixels``: decoded at a time.

        ``picture_threads`` decode, find faces, paste and encode. ``announced`` is called whenever Redis has heard that
        this worker is there. Without ``recall``, jobs that name a stored person fail.
        """
        self.queue, self.files, self.models, self.info = queue, files, models, info
        self.metrics, self.viewer = metrics, viewer
        self.max_batch, self.max_batch_pixels = max_batch, max_batch_pixels
        self.announced = announced
        self._pictures = ThreadPoolExecutor(picture_threads, "picture")
        self._model = ThreadPoolExecutor(1, "model")  # one session, one thread
        self.people = StoredPeople(
            recall,
            models,
            viewer,
            metrics,
            pictures=self._pictures,
            model=self._model,
            failed_ttl=queue.result_ttl,
        )
        self._held: dict[str, Held] = {}
        self._unwanted: set[str] = set()  # canceled or taken over while held
        self._fetched: asyncio.Queue[list[Work] | None] = asyncio.Queue()
        self._inferred: asyncio.Queue[list[Work] | None] = asyncio.Queue(1)
        self._room = asyncio.Semaphore(1)  # one fetched portion may wait for the model
        self._begun: set[str] = set()  # started jobs on their way through the stages
        self._quiet = asyncio.Event()  # set while there is none
        self._quiet.set()
        self._ended = asyncio.Event()

    async def run(self, stopping: asyncio.Event) -> None:
        helpers = [
            asyncio.create_task(self._every(self.queue.stale_after / 3, self._beat)),
            asyncio.create_task(self._every(ANNOUNCE_EVERY, self._announce)),
            asyncio.create_task(self._every(HOUSEKEEPING_EVERY, self._housekeep)),
            asyncio.create_task(self._every(FORGET_EVERY, self.people.forget_deleted)),
        ]
        stages = [
            asyncio.create_task(self._fetch(stopping)),
            asyncio.create_task(self._infer(stopping)),
            asyncio.create_task(self._store()),
        ]
        # Flags and time limits, not cancellation alone: on Python 3.11 a cancellation that meets the end of a Redis
        # call can get lost, and a worker that hangs here would keep its jobs from everybody else.
        ended, going_on = await asyncio.wait(stages, return_when=asyncio.FIRST_EXCEPTION)
        self._ended.set()
        for stage in going_on:
            stage.cancel()
        await asyncio.wait([*helpers, *going_on], timeout=LAST_WORDS)
        with suppress(RedisError, OSError, TimeoutError):
            async with asyncio.timeout(LAST_WORDS):
                await self.queue.withdraw_worker(self.info.name)
        self._pictures.shutdown(wait=False)
        self._model.shutdown(wait=False)
        for stage in ended:
            stage.result()  # raises what made it end

    # The three stages.

    async def _fetch(self, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            await self._room.acquire()
            batch: list[Work] = []
            while not batch and not stopping.is_set():
                try:
                    batch = await self._reserve_and_start(stopping)
                except GaveUp as error:
                    log.error("no job can be had: %s", error)
            await asyncio.gather(*(work.story.telling("fetch", self._read(work)) for work in batch))
            for number, portion in enumerate(portions(batch, self.max_batch_pixels)):
                if number:
                    await self._room.acquire()
                if not stopping.is_set():  # else they are given back as they are
                    await asyncio.gather(
                        *(work.story.telling("prepare", self._prepare(work)) for work in portion)
                    )
                await self._fetched.put(portion)
            if any(work.started.attempt > 1 for work in batch):
                await self._quiet.wait()
        await self._fetched.put(None)

    async def _infer(self, stopping: asyncio.Event) -> None:
        here: list[Work] = []  # jobs with faces left
        more = True
        while more or here:
            while more and self._takes_more(here):
                portion = await self._fetched.get()
                if portion is None:
                    more = False
                    break
                self._room.release()
                here += portion
            given_back = [work for work in here if self._leaves(work, stopping.is_set())]
            await self._give_back(given_back)
            here = [work for work in here if work not in given_back]
            if through := [work for work in here if not work.faces_left]:
                await self._inferred.put(through)
                here = [work for work in here if work.faces_left]
            elif here:
                turns = next_round(here, self.max_batch)
                with story.inference([turn.work.story for turn in turns], sum(turn.count for turn in turns)):
                    await self._restore(turns)
                served = [turn.work for turn in turns]
                here = [work for work in here if work not in served] + served
        await self._inferred.put(None)

    def _takes_more(self, here: list[Work]) -> bool:
        """Whether the model's stage takes another portion: it waits for one, or one is there and fits in beside."""
        if not here:
            return True
        fits = len(here) < self.max_batch and sum(work.pixels for work in here) <= self.max_batch_pixels
        return fits and not self._fetched.empty()

    def _leaves(self, work: Work, stopping: bool) -> bool:
        """Whether it goes back: out of reach, canceled, or not through when the worker ends. Then another worker has it
        at once, and no attempt is counted."""
        if work.abandoned or work.job_id in self._unwanted:
            return True
        return stopping and (work.faces_left > 0 or (work.prepared is None and work.failure is None))

    async def _store(self) -> None:
        while (batch := await self._inferred.get()) is not None:
            outcomes = await asyncio.gather(
                *(work.story.telling("store", self._outcome(work)) for work in batch)
            )
            await self._give_back([work for work in batch if work.abandoned])
            done = [(w, outcome) for w, outcome in zip(batch, outcomes, strict=True) if not w.abandoned]
            try:
                recorded = await self._record([(work.started, outcome) for work, outcome in done])
            except GaveUp as error:
                log.error(
                    "%d outcomes could not be recorded, their jobs will run again: %s", len(done), error
                )
                self._forget([work.started for work, _ in done])
                for work, _ in done:
                    work.story.ended("not_recorded")
                continue
            self._forget([work.started for work, _ in done])
            for (work, outcome), kept in zip(done, recorded, strict=True):
                self._tell(work, outcome, kept)
                await self._clear_up(work, outcome, kept)

    # What they are made of.

    async def _reserve_and_start(self, stopping: asyncio.Event) -> list[Work]:
        """Raises GaveUp; whatever was reserved by then goes stale and to another worker."""
        found = await patiently(lambda: self.queue.reserve(self.max_batch), stopping)
        # What looked stale may be this worker's own, after a pause of the machine: that goes on as it is.
        reserved = [one for one in found if one.job_id not in self._held]
        self._held.update((one.job_id, one) for one in reserved)
        if any(one.retried for one in reserved):
            # It may be what killed a worker. Nobody else's attempt may be spent on finding out, so it runs with an
            # empty pipeline before it and behind it.
            await self._quiet.wait()
        try:
            started = await patiently(lambda: self.queue.start(reserved), stopping)
        except GaveUp:
            self._forget(reserved)
            raise
        for one, begun in zip(reserved, started, strict=True):
            if begun is None:
                self._forget([one])
                await self._clear_buried(one.job_id)
            else:
                self._held[one.job_id] = begun
                self._begun.add(one.job_id)
                self._quiet.clear()
                if begun.attempt > 1:
                    self.metrics.jobs_redelivered.inc()
                else:
                    self.metrics.job_queue_duration.observe(begun.waited)
        return [Work(begun) for begun in started if begun is not None]

    async def _record(self, outcomes: list[tuple[Started, Outcome]]) -> list[bool]:
        return await patiently(lambda: self.queue.finish(outcomes)) if outcomes else []

    async def _read(self, work: Work) -> None:
        """Its uploads, and by their headers how much they will hold in memory."""
        began = time.monotonic()
        try:
            work.files = await patiently(lambda: self.files.read(work.request))
            work.recalled = await patiently(lambda: self.people.recalled(work.request))
            image, *references = (file.pixels(self.viewer.limits) for file in work.files)
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
        self._observe(work, "fetch")

    async def _prepare(self, work: Work) -> None:
        files, work.files = work.files, []
        clock = Stopwatch()
        if work.failure is not None or work.abandoned or work.job_id in self._unwanted:
            return
        try:
            model = self.models.get(work.request.model)
            if model is None:
                raise StepRefused("unknown-model", f"this worker has no model {work.request.model!r}")
            if work.request.task is Task.ENROLL:
                work.enrolled = await self.people.enroll(work, files, model, clock)
            else:
                make = partial(prepare, clock=clock, person=work.recalled)
                knobs = Knobs.of(work.request)
                prepared = await self._in(
                    self._pictures, make, files[0], files[1:], knobs, model, self.viewer
                )
                work.prepared = prepared
                self.people.count(prepared.reference_work)
        except StepRefused as error:
            work.refuse(error)
        except Exception as error:
            log.exception("job %s: preparing failed", work.job_id)
            work.fail("inference-failed", f"Preparing the pictures failed: {type(error).__name__}.")
        work.timings |= clock.seconds
        self._observe(work, "decode", "detect")

    async def _restore(self, turns: list[Turn]) -> None:
        name = turns[0].work.request.model
        tasks = [task for turn in turns for task in turn.tasks]
        began = time.monotonic()
        try:
            faces = await self._in(self._model, self.models[name].restorer.restore, tasks)
        except Exception as error:
            log.exception("a round of %d jobs failed in model %s", len(turns), name)
            if len(turns) > 1:
                # One of them may have done it: the others must not pay for that.
                for turn in turns:
                    await self._restore([turn])
            else:
                turns[0].work.timings["infer"] = time.monotonic() - began
                turns[0].work.fail("inference-failed", f"The model failed: {type(error).__name__}.")
            return
        took = time.monotonic() - began
        self.metrics.batch_size.observe(len(tasks))
        self.metrics.last_batch.set_to_current_time()
        self.metrics.stage_duration.labels("infer").observe(took)
        for turn in turns:
            turn.work.restored += faces[: turn.count]
            faces = faces[turn.count :]
            turn.work.timings["infer"] = turn.work.timings.get("infer", 0.0) + took

    async def _outcome(self, work: Work) -> Outcome:
        if work.request.task is Task.ENROLL:
            return await self.people.outcome(work)
        prepared, work.prepared = work.prepared, None  # its pixels are not needed after this
        clock = Stopwatch()
        if work.failure is None and prepared is not None:
            try:
                make = partial(compose, prepared, work.restored, clock=clock)
                composed: Composed = await self._in(self._pictures, make)
                work.timings |= composed.timings
                self._observe(work, "paste", "encode")
                keeping = time.monotonic()
                result = await patiently(lambda: self.files.keep(work.started, composed))
                work.timings["store"] = time.monotonic() - keeping
                self._observe(work, "store")
                return Outcome(
                    JobStatus.SUCCEEDED, result, None, composed.faces, work.seconds, composed.references
                )
            except StepRefused as error:
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

    def _tell(self, work: Work, outcome: Outcome, kept: bool) -> None:
        if not kept:
            work.story.ended("not_recorded")
            return
        work.story.recorded(outcome)
        self.metrics.job_duration.observe(work.story.seconds)
        reason = outcome.failure.code if outcome.failure is not None else ""
        self.metrics.jobs_finished.labels(outcome.status, reason).inc()
        for face in outcome.faces:
            self.metrics.faces.labels(face.action, face.reason or "").inc()

    async def _clear_up(self, work: Work, outcome: Outcome, kept: bool) -> None:
        """Uploads go when the job has ended, results go when they were not recorded."""
        try:
            if not kept:
                if outcome.result is not None and work.request.task is Task.RESTORE:
                    await self.files.drop_result(outcome.result)
                job = await self.queue.get(work.job_id)
                canceled = job is not None and job.status is JobStatus.CANCELED
                self.metrics.jobs_finished.labels("canceled" if canceled else "not_recorded", "").inc()
                if job is not None and not job.status.terminal:
                    return  # somebody else is at it and needs the uploads
            await self.files.drop_uploads(work.request)
            await self.people.share(work)
        except (RedisError, OSError) as error:
            log.warning("job %s: blobs stay until they expire (%s)", work.job_id, error)

    async def _clear_buried(self, job_id: str) -> None:
        """A job that ended without being started here (out of attempts, canceled) leaves its uploads behind."""
        try:
            job = await self.queue.get(job_id)
            story.buried(job, self.metrics)
            if job is not None and job.status.terminal:
                await self.files.drop_uploads(job.request)
                if (
                    job.status is JobStatus.EXPIRED
                ):  # it does not remember its references, but their names are known
                    await self.files.blobs.delete(*input_keys(job_id))
                await self.people.buried(job)
        except (RedisError, OSError) as error:
            log.warning("job %s: blobs stay until they expire (%s)", job_id, error)

    async def _give_back(self, works: list[Work]) -> None:
        if not works:
            return
        held = [work.started for work in works]
        for work in works:
            work.story.ended("given_back")
        try:
            await patiently(lambda: self.queue.release(held))
        except GaveUp as error:
            log.error("%d jobs could not be given back, they will be found stale: %s", len(held), error)
        self._forget(held)

    def _forget(self, held: Sequence[Held]) -> None:
        for one in held:
            self._held.pop(one.job_id, None)
            self._unwanted.discard(one.job_id)
            self._begun.discard(one.job_id)
        if not self._begun:
            self._quiet.set()

    # Beside the stages.

    async def _beat(self) -> None:
        lost = await self.queue.heartbeat(list(self._held.values()))
        self._unwanted.update(one.job_id for one in lost if one.job_id in self._held)
        self.metrics.heartbeat.set_to_current_time()

    async def _announce(self) -> None:
        await self.queue.announce_worker(self.info, PRESENT_FOR)
        self.announced()

    async def _housekeep(self) -> None:
        await self.queue.housekeeping()

    async def _every(self, seconds: float, act: Callable[[], Awaitable[None]]) -> None:
        while not self._ended.is_set():
            try:
                await act()
            except (RedisError, OSError) as error:
                log.warning("%s: %s", act.__name__.strip("_"), error)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), seconds)

    async def _in(self, pool: ThreadPoolExecutor, function: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(
            pool, copy_context().run, function, *arguments
        )

    def _observe(self, work: Work, *stages: str) -> None:
        for stage in stages:
            if stage in work.timings:
                self.metrics.stage_duration.labels(stage).observe(work.timings[stage])
