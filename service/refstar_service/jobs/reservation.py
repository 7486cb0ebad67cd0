"""What a worker holds: a reservation before it begins a job, the right to finish it after."""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import uuid4

from refstar_service.jobs.job import JobRequest, Priority


@dataclass(frozen=True)
class Reservation:
    """A job held for this worker, not begun. `retried`: an earlier attempt did not end, so run it alone.

    `fence`: of the start that may follow. Fixed here, so that a start whose reply got lost is the same one when it is
    asked for again, and counts one attempt.
    """

    job_id: str
    priority: Priority
    entry: str  # id of its stream entry
    retried: bool
    fence: str = field(default_factory=lambda: uuid4().hex)


@dataclass(frozen=True)
class Started:
    """The right to finish one job, until somebody starts it again. `attempt` counts from 1.

    `waited`: seconds from the job's acceptance to this start, by the clock of Redis.
    """

    job_id: str
    attempt: int
    fence: str  # different for every start, unlike `attempt`, which a release takes back
    request: JobRequest
    reservation: Reservation
    waited: float = 0.0


Held = Reservation | Started
