"""What the tests of the queue share: a request, an outcome, and queues that are closed at the end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from redis.asyncio import Redis
from refstar_service.jobs import (
    FaceAction,
    FaceReport,
    JobFailure,
    JobQueue,
    JobRequest,
    JobResult,
    JobStatus,
    Outcome,
    StoredFile,
)

NewQueue = Callable[..., JobQueue]


def stored(name: str) -> StoredFile:
    return StoredFile(key=f"k/{name}", sha256="ab" * 32, media_type="image/png", size=1234, name=name)


@pytest.fixture
def request_for_jobs() -> JobRequest:
    return JobRequest(
        image=stored('Ärmel\n"1".png'),
        references=(stored("a.png"), stored("b.png")),
        model="refstar",
        faces="aligned",
        fidelity=0.7,
        reference_strength=1.0,
        format="same",
        quality=92,
    )


@pytest.fixture
def success() -> Outcome:
    face = FaceReport((1.0, 2.0, 30.5, 40.0), 0.98, FaceAction.RESTORED, None, (0.4, 0.1))
    result = JobResult(image=stored("result.png"), selection=stored("selection.png"))
    return Outcome(JobStatus.SUCCEEDED, result, None, (face,), {"infer": 0.25})


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
