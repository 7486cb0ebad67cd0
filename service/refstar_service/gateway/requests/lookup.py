"""The restoration or person that a request names, if it is the caller's: what is somebody else's does not exist."""

import re
from typing import Annotated

from fastapi import Path

from refstar_service.gateway.http.auth import Caller
from refstar_service.gateway.http.context import Gateway
from refstar_service.gateway.http.problem_types import ProblemType
from refstar_service.gateway.http.problems import ProblemError
from refstar_service.jobs import Job, RestoreRequest
from refstar_service.people import Person

RestorationId = Annotated[str, Path(description="ID of the restoration.")]
PersonId = Annotated[str, Path(description="ID of the person.")]

# Ids are made here, and become part of blob keys: anything else is not even looked up.
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


async def find_restoration(gateway: Gateway, caller: Caller, job_id: str) -> Job:
    """Raises ProblemError if there is none, and the very same if it is somebody else's or no restoration."""
    return own_restoration(await _read_job(gateway, job_id), job_id, caller)


async def find_restoration_or_none(gateway: Gateway, caller: Caller, job_id: str) -> Job | None:
    """The same without the problem."""
    job = await _read_job(gateway, job_id)
    return job if job is not None and _is_own(job, caller) else None


def own_restoration(job: Job | None, job_id: str, caller: Caller) -> Job:
    """The job, which was read already; raises the same ProblemError."""
    if job is None or not _is_own(job, caller):
        raise ProblemError(ProblemType.UNKNOWN_RESTORATION, f"No such restoration: {job_id[:80]!r}.")
    return job


async def find_person(gateway: Gateway, caller: Caller, person_id: str) -> Person:
    """Raises ProblemError if there is none, and the very same if it is somebody else's."""
    person = await find_person_or_none(gateway, caller, person_id)
    if person is None:
        raise report_unknown_person(person_id)
    return person


def report_unknown_person(person_id: str) -> ProblemError:
    return ProblemError(ProblemType.UNKNOWN_PERSON, f"No such person: {person_id[:80]!r}.")


async def find_person_or_none(gateway: Gateway, caller: Caller, person_id: str) -> Person | None:
    """The same without the problem."""
    person = await gateway.people.get(person_id) if _ID.fullmatch(person_id) else None
    return person if person is not None and caller.owns(person.owner) else None


async def _read_job(gateway: Gateway, job_id: str) -> Job | None:
    return await gateway.queue.get(job_id) if _ID.fullmatch(job_id) else None


def _is_own(job: Job, caller: Caller) -> bool:
    request = job.request
    return caller.owns(job.owner) and isinstance(request, RestoreRequest) and not request.is_shadow
