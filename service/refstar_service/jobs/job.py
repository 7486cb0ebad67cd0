"""A job as a value: what came out of what was asked, and the states between. Knows nothing of Redis."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from refstar_service.jobs.request import Request, StoredFile, read_request, write_json
from refstar_service.restoration.report import (
    FaceReport,
    ReferenceReport,
    read_face_report,
    read_reference_report,
)


class JobStatus(StrEnum):
    QUEUED = "queued"  # accepted, no worker has begun (or one gave it back unharmed)
    RUNNING = "running"  # a worker has begun
    SUCCEEDED = "succeeded"  # the result may be fetched until `expires_at`
    FAILED = "failed"  # `failure` says why; it will not be tried again
    CANCELED = "canceled"  # ended by its owner; there is no result
    EXPIRED = "expired"  # only the fact that it existed is left

    @property
    def terminal(self) -> bool:
        return self not in (JobStatus.QUEUED, JobStatus.RUNNING)


class Priority(StrEnum):
    NORMAL = "normal"
    HIGH = "high"  # taken first, but never to the exclusion of normal ones


@dataclass(frozen=True)
class JobFailure:
    """`code` is a problem slug such as "image-undecodable" or "worker-lost"; `detail` is for a person."""

    code: str
    detail: str


@dataclass(frozen=True)
class JobResult:
    image: StoredFile
    selection: StoredFile | None


@dataclass(frozen=True)
class Outcome:
    """What a worker reports: SUCCEEDED with result or FAILED with failure. `timings`: seconds by stage.

    A failed one may say what was found too: `faces`, `references`.
    """

    status: JobStatus
    result: JobResult | None
    failure: JobFailure | None
    faces: tuple[FaceReport, ...]
    timings: dict[str, float]
    references: tuple[ReferenceReport, ...] = ()

    @classmethod
    def succeeded(
        cls,
        result: JobResult,
        *,
        timings: dict[str, float],
        faces: tuple[FaceReport, ...] = (),
        references: tuple[ReferenceReport, ...] = (),
    ) -> Outcome:
        return cls(JobStatus.SUCCEEDED, result, None, faces, timings, references)

    @classmethod
    def failed(
        cls,
        failure: JobFailure,
        *,
        timings: dict[str, float],
        faces: tuple[FaceReport, ...] = (),
        references: tuple[ReferenceReport, ...] = (),
    ) -> Outcome:
        return cls(JobStatus.FAILED, None, failure, faces, timings, references)

    def __post_init__(self) -> None:
        if self.status is JobStatus.SUCCEEDED and self.result is not None and self.failure is None:
            return
        if self.status is JobStatus.FAILED and self.failure is not None and self.result is None:
            return
        raise ValueError(f"an outcome is succeeded with a result or failed with a failure, not {self}")

    def to_json(self) -> str:
        return write_json(self)

    @classmethod
    def from_json(cls, text: str) -> Outcome:
        data = json.loads(text)
        return cls(
            status=JobStatus(data["status"]),
            result=_result(data["result"]),
            failure=JobFailure(**data["failure"]) if data["failure"] else None,
            faces=tuple(read_face_report(face) for face in data["faces"]),
            timings=data["timings"],
            references=tuple(read_reference_report(reference) for reference in data["references"]),
        )


@dataclass(frozen=True)
class Job:
    """A job as it was when it was read. Times are unix seconds by the clock of Redis.

    `expires_at`: when a job that is not terminal is given up, and when one that is becomes unreadable.
    `version` rises with every change and never repeats for one id. `canceling`: running, but its outcome will
    not be kept. Of an expired job only the outline of its request is left.
    """

    id: str
    status: JobStatus
    priority: Priority
    owner: str
    request: Request
    created_at: float
    expires_at: float
    version: int
    attempts: int = 0
    started_at: float | None = None
    finished_at: float | None = None
    faces: tuple[FaceReport, ...] = ()
    failure: JobFailure | None = None
    result: JobResult | None = None
    timings: dict[str, float] = field(default_factory=dict)
    canceling: bool = False
    references: tuple[ReferenceReport, ...] = ()

    @classmethod
    def from_fields(cls, job_id: str, fields: Mapping[str, str]) -> Job:
        """From the fields of its hash in Redis, as `keys.py` lists them."""
        outcome = Outcome.from_json(fields["outcome"]) if "outcome" in fields else None
        return cls(
            id=job_id,
            status=JobStatus(fields["status"]),
            priority=Priority(fields["priority"]),
            owner=fields["owner"],
            request=read_request(fields["request"]),
            attempts=int(fields["attempts"]),
            created_at=float(fields["created_at"]),
            started_at=_moment(fields.get("started_at")),
            finished_at=_moment(fields.get("finished_at")),
            expires_at=float(fields["expires_at"]),
            faces=outcome.faces if outcome else (),
            failure=outcome.failure if outcome else None,
            result=outcome.result if outcome else None,
            timings=outcome.timings if outcome else {},
            canceling="canceling" in fields,
            version=int(fields["version"]),
            references=outcome.references if outcome else (),
        )


def _result(data: dict[str, Any] | None) -> JobResult | None:
    if data is None:
        return None
    selection = data["selection"]
    return JobResult(StoredFile(**data["image"]), StoredFile(**selection) if selection else None)


def _moment(text: str | None) -> float | None:
    return float(text) if text else None
