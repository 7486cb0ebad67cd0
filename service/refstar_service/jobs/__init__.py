"""A job's life: the values, and the queue on Redis Streams."""

from refstar_service.jobs.admission import Claim, JobTooLargeError, Limit, QueueFullError
from refstar_service.jobs.job import Job, JobFailure, JobResult, JobStatus, Outcome, Priority
from refstar_service.jobs.listing import JobPage, Place
from refstar_service.jobs.presence import WorkerInfo
from refstar_service.jobs.progress import Progress, Stage
from refstar_service.jobs.queue import JobQueue
from refstar_service.jobs.read_side import LineStatus
from refstar_service.jobs.request import (
    EnrollRequest,
    PersonReference,
    RemoteFile,
    Request,
    RestoreRequest,
    StoredFile,
    StoredPerson,
)
from refstar_service.jobs.reservation import Attempt, Held, Reservation

__all__ = [
    "Attempt",
    "Claim",
    "EnrollRequest",
    "Held",
    "Job",
    "JobFailure",
    "JobPage",
    "JobQueue",
    "JobResult",
    "JobStatus",
    "JobTooLargeError",
    "Limit",
    "LineStatus",
    "Outcome",
    "PersonReference",
    "Place",
    "Priority",
    "Progress",
    "QueueFullError",
    "RemoteFile",
    "Request",
    "Reservation",
    "RestoreRequest",
    "Stage",
    "StoredFile",
    "StoredPerson",
    "WorkerInfo",
]
