"""Jobs as values: what is written is what is read."""

from dataclasses import replace

import pytest
from refstar_service.jobs import (
    EnrollRequest,
    JobFailure,
    JobStatus,
    Outcome,
    PersonReference,
    RestoreRequest,
    StoredPerson,
)
from refstar_service.jobs.request import read_request
from refstar_service.restoration.knobs import ReferenceFace


def test_a_request_survives_json(request_for_jobs: RestoreRequest) -> None:
    assert read_request(request_for_jobs.to_json()) == request_for_jobs


def test_a_request_that_names_a_person_survives_json(
    request_for_jobs: RestoreRequest, success: Outcome
) -> None:
    good, bad = success.references
    person = StoredPerson("p", (PersonReference(good, request_for_jobs.image), PersonReference(bad, None)))
    request = replace(request_for_jobs, references=(), person=person, request_id="r-1")
    assert read_request(request.to_json()) == request
    assert (request.outline().person, request.outline().request_id) == (None, "r-1")


def test_an_enrollment_survives_json(request_for_jobs: RestoreRequest) -> None:
    request = EnrollRequest(request_for_jobs.references, ReferenceFace.LARGEST, request_id="r-1")
    assert read_request(request.to_json()) == request
    assert request.outline() == replace(request, references=())


def test_the_outline_of_a_request_says_nothing_of_its_files(request_for_jobs: RestoreRequest) -> None:
    outline = request_for_jobs.outline()
    assert (outline.image.name, outline.image.sha256, outline.references) == ("", "", ())
    assert outline.image.key == request_for_jobs.image.key
    assert (outline.model, outline.knobs) == (request_for_jobs.model, request_for_jobs.knobs)


def test_outcomes_survive_json(success: Outcome, failure: Outcome) -> None:
    assert Outcome.from_json(success.to_json()) == success
    assert Outcome.from_json(failure.to_json()) == failure


def test_a_failure_may_say_what_was_found(success: Outcome, failure: Outcome) -> None:
    told = Outcome(JobStatus.FAILED, None, failure.failure, success.faces, {}, success.references)
    assert Outcome.from_json(told.to_json()) == told


@pytest.mark.parametrize("status", list(JobStatus))
def test_an_outcome_needs_what_its_status_says(status: JobStatus, success: Outcome) -> None:
    with pytest.raises(ValueError, match="succeeded with a result or failed with a failure"):
        Outcome(status, success.result, JobFailure("x", "y"), (), {})
    with pytest.raises(ValueError):
        Outcome(status, None, None, (), {})


def test_only_waiting_and_running_jobs_are_not_terminal() -> None:
    assert [status for status in JobStatus if not status.terminal] == [JobStatus.QUEUED, JobStatus.RUNNING]
