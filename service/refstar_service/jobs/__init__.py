"""A job's life: the values, the queue on Redis Streams, and a private redis-server for a single machine."""

from refstar_service.jobs.admission import Claim, QueueFull
from refstar_service.jobs.job import (
    Box,
    FaceAction,
    FaceReport,
    Job,
    JobFailure,
    JobRequest,
    JobResult,
    JobStatus,
    Outcome,
    PersonReference,
    Priority,
    ReferenceReport,
    StoredFile,
    StoredPerson,
    Task,
)
from refstar_service.jobs.listing import JobPage, Place
from refstar_service.jobs.presence import WorkerInfo
from refstar_service.jobs.queue import JobQueue, LineStatus
from refstar_service.jobs.reservation import Held, Reservation, Started

__all__ = [
    "Box",
    "Claim",
    "FaceAction",
    "FaceReport",
    "Held",
    "Job",
    "JobFailure",
    "JobPage",
    "JobQueue",
    "JobRequest",
    "JobResult",
    "JobStatus",
    "LineStatus",
    "Outcome",
    "PersonReference",
    "Place",
    "Priority",
    "QueueFull",
    "ReferenceReport",
    "Reservation",
    "Started",
    "StoredFile",
    "StoredPerson",
    "Task",
    "WorkerInfo",
]
