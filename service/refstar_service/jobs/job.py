"""A job as a value: what came out of what was asked, and the states between. Knows nothing of Redis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from pydantic import TypeAdapter

from refstar_service.jobs.progress import Progress
from refstar_service.jobs.record import UNREADABLE, RecordError, check_schema, read_record
from refstar_service.jobs.request import (
    EnrollRequest,
    Request,
    StoredFile,
    read_request,
    stand_in,
    write_json,
)
from refstar_service.restoration.report import FaceReport, ReferenceReport


class JobStatus(StrEnum):
    QUEUED = "queued"  # accepted, no worker has begun (or one gave it back unharmed)
    RUNNING = "running"  # a worker has begun
    SUCCEEDED = "succeeded"  # the result may be fetched until `expires_at`
    FAILED = "failed"  # `failure` says why; it will not be tried again
    CANCELED = "canceled"  # ended by its owner; there is no result
    EXPIRED = "expired"  # not ended in its time, or long ago; only the fact that it existed is left

    @property
    def terminal(self) -> bool:
        return self not in (JobStatus.QUEUED, JobStatus.RUNNING)


class Priority(StrEnum):
    NORMAL = "normal"
    HIGH = "high"  # taken first, but never to the exclusion of normal ones
    SPARE = "spare"  # taken by a worker that has nothing else to do; shadows, which nobody waits for

    @property
    def counted(self) -> bool:
        """Whether jobs of it are work that clients wait for: what limits, figures and positions are about."""
        return self is not Priority.SPARE


@dataclass(frozen=True)
class JobFailure:
    """`code` is a problem slug such as "image-undecodable" or "worker-lost"; `detail` is for a person."""

    code: str
    detail: str


@dataclass(frozen=True)
class JobResult:
    """`delivered_at`: when the image was put where the request wanted it, in unix seconds by the worker's clock."""

    image: StoredFile
    selection: StoredFile | None
    delivered_at: float | None = None

    @property
    def files(self) -> tuple[StoredFile, ...]:
        return (self.image,) if self.selection is None else (self.image, self.selection)

    @property
    def bytes(self) -> int:
        return sum(file.size for file in self.files)


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
        """What `to_json` wrote, in this version or another. Raises RecordError."""
        return read_record(_OUTCOME, text)


_OUTCOME = TypeAdapter(Outcome)


@dataclass(frozen=True)
class Job:
    """A job as it was when it was read. Times are unix seconds by the clock of Redis.

    `expires_at`: when a job that is not terminal is given up, and when one that is becomes unreadable.
    `version` rises with every change and never repeats for one id. `canceling`: running, but its outcome will
    not be kept. `progress`: of the present attempt, as a worker last told it. Of an expired job only the outline of its
    request is left; one that was not ended in its time has a `failure` that says so. `withdrawn`: by the very call that
    returned this, while it waited; no worker meets it any more, so whoever called counts it.
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
    progress: Progress | None = None
    withdrawn: bool = field(default=False, compare=False)

    @classmethod
    def from_fields(cls, job_id: str, fields: Mapping[str, str]) -> Job:
        """From the fields of its hash in Redis, as `keys.py` lists them.

        Never an error: a job of which something cannot be read has failed as `record-unreadable`, unless others are
        still at it.
        """
        found = _Found(fields)
        try:
            check_schema(fields)
            request = read_request(fields.get("request", ""))
            outcome = Outcome.from_json(fields["outcome"]) if "outcome" in fields else None
            status, trouble = JobStatus(fields.get("status", "")), None
        except ValueError as error:  # RecordError among them
            request, outcome = stand_in(fields.get("request", "")), None
            status = found.status_if_unreadable
            trouble = unreadable(error) if status is JobStatus.FAILED else None
        created_at = found.moment("created_at") or 0.0
        return cls(
            id=job_id,
            status=status,
            priority=found.priority,
            owner=fields.get("owner", ""),
            request=request,
            attempts=found.count("attempts"),
            created_at=created_at,
            started_at=found.moment("started_at"),
            finished_at=found.moment("finished_at"),
            expires_at=found.moment("expires_at") or created_at,
            faces=outcome.faces if outcome else (),
            failure=outcome.failure if outcome else trouble or found.overdue(status, request),
            result=outcome.result if outcome else None,
            timings=outcome.timings if outcome else {},
            canceling="canceling" in fields,
            version=found.count("version"),
            references=outcome.references if outcome else (),
            progress=found.progress if status is JobStatus.RUNNING else None,
        )


def unreadable(error: ValueError) -> JobFailure:
    """Why a job or a person whose record cannot be read is of no use."""
    reason = (
        str(error) if isinstance(error, RecordError) else "it has a status that this version does not know"
    )
    return JobFailure(UNREADABLE, f"The record cannot be read: {reason}.")


@dataclass(frozen=True)
class _Found:
    """The fields of a record, whatever may be in them."""

    fields: Mapping[str, str]

    @property
    def status_if_unreadable(self) -> JobStatus:
        """As it is recorded, as far as that needs nothing else; a worker that can read it may be at it."""
        as_recorded = [JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.CANCELED, JobStatus.EXPIRED]
        return next((one for one in as_recorded if one == self.fields.get("status")), JobStatus.FAILED)

    @property
    def priority(self) -> Priority:
        return next((one for one in Priority if one == self.fields.get("priority")), Priority.NORMAL)

    @property
    def progress(self) -> Progress | None:
        """Not that of an earlier attempt."""
        fence, _, text = self.fields.get("progress", "").partition(" ")
        return Progress.from_text(text) if fence == self.fields.get("fence") else None

    def overdue(self, status: JobStatus, request: Request) -> JobFailure | None:
        """Why it has expired, if that was before it ended; also where no worker has recorded its end yet."""
        if status is not JobStatus.EXPIRED or not (
            "overdue" in self.fields or "finished_at" not in self.fields
        ):
            return None
        code = "input-expired" if isinstance(request, EnrollRequest) else "restoration-expired"
        how = "Its worker did not end it" if "started_at" in self.fields else "No worker began it"
        return JobFailure(code, f"{how} in the time for which unfinished work is kept (REFSTAR_JOB_TTL).")

    def moment(self, name: str) -> float | None:
        try:
            return float(self.fields.get(name) or "")
        except ValueError:
            return None

    def count(self, name: str) -> int:
        text = self.fields.get(name, "")
        return int(text) if text.isdecimal() else 0
