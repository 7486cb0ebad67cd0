"""Jobs as values: what is written is what is read."""

import pytest
from refstar_service.jobs import JobFailure, JobRequest, JobStatus, Outcome


def test_a_request_survives_json(request_for_jobs: JobRequest) -> None:
    assert JobRequest.from_json(request_for_jobs.to_json()) == request_for_jobs


def test_the_outline_of_a_request_says_nothing_of_its_files(request_for_jobs: JobRequest) -> None:
    outline = request_for_jobs.outline()
    assert (outline.image.name, outline.image.sha256, outline.references) == ("", "", ())
    assert outline.image.key == request_for_jobs.image.key
    assert (outline.model, outline.fidelity) == (request_for_jobs.model, request_for_jobs.fidelity)


def test_outcomes_survive_json(success: Outcome, failure: Outcome) -> None:
    assert Outcome.from_json(success.to_json()) == success
    assert Outcome.from_json(failure.to_json()) == failure


@pytest.mark.parametrize("status", list(JobStatus))
def test_an_outcome_needs_what_its_status_says(status: JobStatus, success: Outcome) -> None:
    with pytest.raises(ValueError, match="succeeded with a result or failed with a failure"):
        Outcome(status, success.result, JobFailure("x", "y"), (), {})
    with pytest.raises(ValueError):
        Outcome(status, None, None, (), {})


def test_only_waiting_and_running_jobs_are_not_terminal() -> None:
    assert [status for status in JobStatus if not status.terminal] == [JobStatus.QUEUED, JobStatus.RUNNING]
