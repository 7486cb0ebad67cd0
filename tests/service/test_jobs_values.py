"""Jobs as values: what is written is what is read."""

import json
from dataclasses import replace

import pytest
from refstar_service.jobs import (
    JobFailure,
    JobRequest,
    JobStatus,
    Outcome,
    PersonReference,
    StoredPerson,
    Task,
)


def test_a_request_survives_json(request_for_jobs: JobRequest) -> None:
    assert JobRequest.from_json(request_for_jobs.to_json()) == request_for_jobs


def test_a_request_that_names_a_person_survives_json(request_for_jobs: JobRequest, success: Outcome) -> None:
    good, bad = success.references
    person = StoredPerson("p", (PersonReference(good, request_for_jobs.image), PersonReference(bad, None)))
    request = replace(request_for_jobs, references=(), person=person, task=Task.ENROLL, request_id="r-1")
    assert JobRequest.from_json(request.to_json()) == request
    assert (request.outline().person, request.outline().request_id) == (None, "r-1")


def test_the_outline_of_a_request_says_nothing_of_its_files(request_for_jobs: JobRequest) -> None:
    outline = request_for_jobs.outline()
    assert (outline.image.name, outline.image.sha256, outline.references) == ("", "", ())
    assert outline.image.key == request_for_jobs.image.key
    assert (outline.model, outline.fidelity) == (request_for_jobs.model, request_for_jobs.fidelity)


def test_outcomes_survive_json(success: Outcome, failure: Outcome) -> None:
    assert Outcome.from_json(success.to_json()) == success
    assert Outcome.from_json(failure.to_json()) == failure


def test_a_request_of_an_older_version_is_read(request_for_jobs: JobRequest) -> None:
    old = json.loads(request_for_jobs.to_json())
    added = (
        "boxes",
        "min_face",
        "upscale",
        "reference_face",
        "keep_location",
        "request_id",
        "task",
        "person",
    )
    for name in added:
        del old[name]
    read = JobRequest.from_json(json.dumps(old))
    assert (read.boxes, read.min_face, read.upscale) == ((), 24, 1)
    assert (read.reference_face, read.keep_location) == ("only", False)
    assert (read.image, read.quality) == (request_for_jobs.image, 92)
    assert (read.request_id, read.task, read.person) == ("", Task.RESTORE, None)


def test_an_outcome_of_an_older_version_is_read(success: Outcome) -> None:
    old = json.loads(success.to_json())
    del old["references"], old["faces"][0]["points"]
    read = Outcome.from_json(json.dumps(old))
    assert (read.references, read.faces[0].points) == ((), ())
    assert (read.result, read.faces[0].box) == (success.result, success.faces[0].box)


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
