"""The rounds at the model: computed, and where one at a time is, the one that will probably come next is put together
and uploaded meanwhile."""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from refstar_service.engine.restorer import FaceTask, StagedBatch
from refstar_service.metrics.worker import WorkerMetrics
from refstar_service.restoration.steps import Model
from refstar_service.threads import Threads
from refstar_service.worker.work import Turn

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class _Ahead:
    model: str
    tasks: list[FaceTask]
    staging: "asyncio.Task[StagedBatch]"


class Rounds:
    """Of one worker; ``model`` are the threads that compute, each a round."""

    def __init__(self, models: Mapping[str, Model], metrics: WorkerMetrics, model: Threads) -> None:
        self._models, self._metrics, self._model = models, metrics, model
        self._staging = Threads(1, "stage")
        self._ahead: _Ahead | None = None
        self._discarding: set[asyncio.Task[None]] = set()

    def expect(self, turns: Sequence[Turn]) -> None:
        """Make ready what will probably be the next round. A guess that turns out wrong costs a copy, nothing else."""
        name, tasks = _of(turns)
        if self._ahead is not None and (self._ahead.model, self._ahead.tasks) == (name, tasks):
            return
        self.expect_nothing()
        stage = self._models[name].restorer.stage
        self._ahead = _Ahead(name, tasks, asyncio.create_task(self._staging.run(stage, tasks)))

    def expect_nothing(self) -> None:
        """What was made ready is not wanted."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            discarding = asyncio.create_task(self._discard(ahead))
            self._discarding.add(discarding)
            discarding.add_done_callback(self._discarding.discard)

    async def restore(self, turns: Sequence[Turn]) -> None:
        """One round: its faces are added to their jobs, and a job that breaks it fails alone."""
        name, tasks = _of(turns)
        began = time.monotonic()
        try:
            staged = await self._take_staged(name, tasks)
            if staged is not None:
                faces = await self._model.run(staged.compute)
            else:
                faces = await self._model.run(self._models[name].restorer.restore, tasks)
        except Exception as error:
            log.exception("a round of %d jobs failed in model %s", len(turns), name)
            if len(turns) > 1:
                # One of them may have done it: the others must not pay for that.
                for turn in turns:
                    await self.restore([turn])
            else:
                turns[0].work.timings["infer"] = time.monotonic() - began
                turns[0].work.fail("inference-failed", f"The model failed: {type(error).__name__}.")
            return
        took = time.monotonic() - began
        self._metrics.batch_size.observe(len(tasks))
        self._metrics.last_batch.set_to_current_time()
        self._metrics.stage_duration.labels("infer").observe(took)
        for turn in turns:
            turn.end(faces[: turn.count])
            faces = faces[turn.count :]
            turn.work.timings["infer"] = turn.work.timings.get("infer", 0.0) + took

    async def end(self, patience: float) -> None:
        """Nothing is expected any more; what is under way is waited for ``patience`` seconds."""
        self.expect_nothing()
        if self._discarding:
            await asyncio.wait(self._discarding, timeout=patience)
        self._staging.end()

    async def _take_staged(self, name: str, tasks: list[FaceTask]) -> StagedBatch | None:
        """What was put together ahead, if it is this round."""
        ahead = self._ahead
        if ahead is None or (ahead.model, ahead.tasks) != (name, tasks):
            self.expect_nothing()
            return None
        self._ahead = None
        try:
            return await ahead.staging
        except Exception:
            # It may have been one of them, and it may pass: the round is tried as if nothing had been made ready.
            log.debug("a round could not be made ready ahead", exc_info=True)
            return None

    async def _discard(self, ahead: _Ahead) -> None:
        try:
            staged = await ahead.staging
            await self._staging.run(staged.discard)
        except Exception:
            log.debug("a round that nobody wants could not be made ready", exc_info=True)


def _of(turns: Sequence[Turn]) -> tuple[str, list[FaceTask]]:
    return turns[0].work.model, [task for turn in turns for task in turn.tasks]
