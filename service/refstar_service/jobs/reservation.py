"""What a worker holds: a reservation before it begins a job, the right to finish it after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from refstar_service.jobs.job import Priority
from refstar_service.jobs.record import check_schema
from refstar_service.jobs.request import Request, read_request, stand_in
from refstar_service.redis.replies import read_text


@dataclass(frozen=True)
class Reservation:
    """A job held for this worker, not begun. `retried`: an earlier attempt did not end, so run it alone.

    `fence`: of the start that may follow. Fixed here, so that a start whose reply got lost is the same one when it is
    asked for again, and counts one attempt. `model`: what the entry asks for, a plain name or one with a version.
    """

    job_id: str
    priority: Priority
    entry: str  # id of its stream entry
    retried: bool
    fence: str = field(default_factory=lambda: uuid4().hex)
    model: str = ""


@dataclass(frozen=True)
class Attempt:
    """The right to finish one job, until somebody starts it again. `attempt` counts from 1.

    `waited`: seconds from the job's acceptance to this start, by the clock of Redis. `owner`: whose it is; "" in open
    mode.
    """

    job_id: str
    attempt: int
    fence: str  # different for every start, unlike `attempt`, which a release takes back
    request: Request
    reservation: Reservation
    waited: float = 0.0
    owner: str = ""

    @classmethod
    def of(cls, reservation: Reservation, reply: Sequence[Any]) -> Attempt:
        """From what the script says of a start. Raises RecordError if what is asked cannot be read."""
        check_schema({"schema": read_text(reply[4])})
        return cls._read(reservation, reply, read_request(read_text(reply[2])))

    @classmethod
    def standing_in(cls, reservation: Reservation, reply: Sequence[Any]) -> Attempt:
        """The same for a job whose request cannot be read: good for ending it."""
        return cls._read(reservation, reply, stand_in(read_text(reply[2])))

    @classmethod
    def _read(cls, reservation: Reservation, reply: Sequence[Any], asked: Request) -> Attempt:
        attempt, fence, _, waited, _, owner = reply
        return cls(
            reservation.job_id,
            attempt,
            read_text(fence),
            asked,
            reservation,
            float(read_text(waited)),
            read_text(owner),
        )


Held = Reservation | Attempt
