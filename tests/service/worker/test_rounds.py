"""The next round is made ready while one is computed, and used if it is the one that comes."""

import asyncio
import threading
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from inverting import Inverting, InvertingLater
from refstar_service.engine.restorer import FaceTask
from refstar_service.jobs import Priority, RestoreRequest
from refstar_service.jobs.reservation import Attempt, Reservation
from refstar_service.metrics.registry import new_registry
from refstar_service.metrics.worker import WorkerMetrics
from refstar_service.restoration.steps import Model
from refstar_service.threads import Threads
from refstar_service.worker.rounds import Rounds
from refstar_service.worker.work import Turn, Work

SOON = 10.0  # seconds


def turn(work: Work, count: int) -> Turn:
    assert work.prepared is not None
    return Turn(work, 0, work.prepared.tasks[:count])


class Staging(Inverting):
    """Remembers what was staged; ``fails`` raises while it stages."""

    def __init__(self) -> None:
        super().__init__()
        self.staged: list[InvertingLater] = []
        self.fails = False
        self.ready = threading.Event()

    def stage(self, tasks: Sequence[FaceTask]) -> InvertingLater:
        if self.fails:
            raise RuntimeError("no room")
        self.staged.append(super().stage(tasks))
        self.ready.set()
        return self.staged[-1]


@pytest.fixture
def restorer() -> Staging:
    return Staging()


@pytest.fixture
async def rounds(restorer: Staging) -> Rounds:
    model = Threads(1, "model")
    return Rounds({"refstar": Model(restorer, 8)}, WorkerMetrics.on(new_registry()), model)


@pytest.fixture
def work(request_for_jobs: RestoreRequest) -> Any:
    def make(level: int, faces: int = 1) -> Work:
        held = Reservation(f"job{level}", Priority.NORMAL, "0-1", retried=False)
        pixels = np.full((8, 8, 3), level, np.uint8)
        tasks = tuple(FaceTask(pixels, (), 1.0, 0.5) for _ in range(faces))
        prepared: Any = SimpleNamespace(tasks=tasks)
        return Work(Attempt(f"job{level}", 1, "f", request_for_jobs, held), prepared=prepared)

    return make


async def test_a_round_that_was_made_ready_is_computed_from_there(
    rounds: Rounds, restorer: Staging, work: Any
) -> None:
    first, second = work(1), work(2, 2)
    computing, go_on = threading.Event(), threading.Event()

    def wait(tasks: Sequence[FaceTask]) -> None:
        computing.set()
        assert go_on.wait(SOON)

    restorer.act = wait
    present = asyncio.create_task(rounds.restore([turn(first, 1)]))
    assert await asyncio.to_thread(computing.wait, SOON)
    rounds.expect([turn(second, 2)])
    assert await asyncio.to_thread(restorer.ready.wait, SOON)  # while the first one is at the model
    assert not present.done()
    go_on.set()
    await present
    await rounds.restore([turn(second, 2)])
    assert [face.pixels[0, 0, 0] for face in second.faces_in_order] == [253, 253]
    assert len(restorer.staged) == 1
    await rounds.end(SOON)
    assert not restorer.staged[0].discarded


async def test_a_wrong_guess_costs_nothing_but_the_copy(rounds: Rounds, restorer: Staging, work: Any) -> None:
    one, other = work(1), work(2)
    rounds.expect([turn(one, 1), turn(other, 1)])
    await rounds.restore([turn(other, 1)])  # the first was canceled meanwhile
    await rounds.end(SOON)
    assert [face.pixels[0, 0, 0] for face in other.faces_in_order] == [253]
    assert [staged.discarded for staged in restorer.staged] == [True]
    assert restorer.batches == [1]


async def test_a_better_guess_takes_the_place_of_the_last_one(
    rounds: Rounds, restorer: Staging, work: Any
) -> None:
    one, other = work(1), work(2)
    rounds.expect([turn(one, 1)])
    rounds.expect([turn(one, 1), turn(other, 1)])
    rounds.expect([turn(one, 1), turn(other, 1)])
    await rounds.restore([turn(one, 1), turn(other, 1)])
    await rounds.end(SOON)
    assert [staged.discarded for staged in restorer.staged] == [True, False]
    assert restorer.batches == [2]


async def test_what_cannot_be_made_ready_is_tried_when_its_turn_comes(
    rounds: Rounds, restorer: Staging, work: Any
) -> None:
    one = work(1)
    restorer.fails = True
    rounds.expect([turn(one, 1)])
    await rounds.restore([turn(one, 1)])
    assert one.failure is None
    assert len(one.restored) == 1
    await rounds.end(SOON)


async def test_what_is_ready_when_the_worker_ends_is_let_go(
    rounds: Rounds, restorer: Staging, work: Any
) -> None:
    rounds.expect([turn(work(1), 1)])
    await rounds.end(SOON)
    assert [staged.discarded for staged in restorer.staged] == [True]
    assert restorer.batches == []
