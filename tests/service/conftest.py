"""What the tests of the queue share: a request, an outcome, and queues that are closed at the end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from redis.asyncio import Redis
from refstar_service.faces.select import FaceMode
from refstar_service.jobs import (
    JobFailure,
    JobQueue,
    JobResult,
    JobStatus,
    Outcome,
    RestoreRequest,
    StoredFile,
)
from refstar_service.restoration.knobs import Knobs, ReferenceFace
from refstar_service.restoration.report import FaceAction, FaceReport, ReferenceReport

NewQueue = Callable[..., JobQueue]


def stored(name: str) -> StoredFile:
    return StoredFile(key=f"k/{name}", sha256="ab" * 32, media_type="image/png", size=1234, name=name)


@pytest.fixture
def request_for_jobs() -> RestoreRequest:
    return RestoreRequest(
        image=stored('Ärmel\n"1".png'),
        references=(stored("a.png"), stored("b.png")),
        model="refstar",
        knobs=Knobs(
            faces=FaceMode.BOXES,
            boxes=((1.0, 2.0, 30.0, 40.0), (50.5, 60.0, 32.0, 32.0)),
            min_face=30,
            upscale=2,
            reference_face=ReferenceFace.LARGEST,
            fidelity=0.7,
            quality=92,
            keep_location=True,
        ),
    )


@pytest.fixture
def success() -> Outcome:
    points = ((9.0, 14.5), (21.0, 14.0), (15.0, 22.0), (10.0, 30.0), (20.0, 30.0))
    face = FaceReport((1.0, 2.0, 30.5, 40.0), 0.98, FaceAction.RESTORED, None, (0.4, 0.1), points)
    good = ReferenceReport(1, "a.png", (3.0, 4.0, 200.0, 220.0), 0.99, 209.8, 0.6, True, None)
    bad = ReferenceReport(2, "b.png", None, None, None, None, False, "reference-without-face")
    result = JobResult(image=stored("result.png"), selection=stored("selection.png"))
    return Outcome(JobStatus.SUCCEEDED, result, None, (face,), {"infer": 0.25}, (good, bad))


@pytest.fixture
def failure() -> Outcome:
    return Outcome(JobStatus.FAILED, None, JobFailure("image-undecodable", "not this one"), (), {})


@pytest.fixture
async def new_queue(redis: Redis) -> AsyncIterator[NewQueue]:
    """Makes a queue as another process would have it: same Redis, a worker name of its own."""
    queues: list[JobQueue] = []

    def make(**settings: Any) -> JobQueue:
        queues.append(JobQueue(redis, **settings))
        return queues[-1]

    yield make
    for queue in queues:
        await queue.aclose()


@pytest.fixture
def queue(new_queue: NewQueue) -> JobQueue:
    return new_queue(worker="first")
