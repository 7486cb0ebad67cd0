"""A person from a form to a job that prepares them, and from a restoration that names them to their references."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from refstar_service.gateway.http.auth import Caller
from refstar_service.gateway.http.context import Gateway
from refstar_service.gateway.http.problem_types import ProblemType
from refstar_service.gateway.http.problems import ProblemError
from refstar_service.gateway.http.resource import ProblemDetails
from refstar_service.gateway.requests.form import Form, FormLimits, report_surplus
from refstar_service.gateway.requests.lookup import find_person
from refstar_service.gateway.requests.options import (
    FORMS,
    Asked,
    PersonChanges,
    PersonOptions,
    describe_refusal,
    parse_person,
)
from refstar_service.gateway.requests.submission import (
    Submission,
    describe_file,
    probe_upload,
)
from refstar_service.gateway.requests.urls import name_pictures
from refstar_service.jobs import EnrollRequest, JobFailure, JobStatus, Priority
from refstar_service.jobs.request import reference_keys
from refstar_service.people import BYTES_A_REFERENCE, Person, PersonStatus
from refstar_service.restoration.errors import RequestError
from refstar_service.restoration.rules import check_square, image_limits, settle_reference_face
from refstar_service.settings import Settings

ABANDONED_AFTER = 300.0  # seconds; by then whoever made the record has queued its job, or will never do so


@dataclass(frozen=True, eq=False)
class Enrollment:
    name: str
    submission: Submission


def person_limits(settings: Settings) -> FormLimits:
    return FormLimits(
        files={"references": settings.max_references},
        max_file_bytes=settings.max_image_bytes,
        max_request_bytes=settings.max_request_bytes,
        timeout=settings.upload_timeout,
        lists={"reference_urls": settings.max_references},
        members=FORMS["PersonDocument"]["properties"],
    )


def limit_people(settings: Settings) -> int:
    """How many an owner may store, so that they fit into half of what may be stored."""
    each = max(1, settings.max_references) * BYTES_A_REFERENCE
    return max(1, min(settings.max_people, settings.storage_limit // 2 // each))


def read_enrollment(form: Form, settings: Settings, person_id: str) -> Enrollment:
    """The enrollment in a form; raises ProblemError. Hashes megabytes: call it by `scan_form`."""
    options, asked = parse_person(form)
    if not form.files_of("references") and not options.reference_urls:
        raise ProblemError(
            ProblemType.MISSING_REFERENCES,
            "Send at least one file in the field 'references', or a URL in 'reference_urls'.",
        )
    submission = read_references(form, settings, person_id, asked, options)
    return Enrollment(options.name, submission)


def read_references(
    form: Form, settings: Settings, job_id: str, asked: Asked, options: PersonOptions | PersonChanges
) -> Submission:
    """The job that looks at the references of a form; raises ProblemError."""
    uploads = form.files_of("references")
    count = len(uploads) + len(options.reference_urls)
    if count > settings.max_references:
        raise report_surplus("references", settings.max_references)
    remote = name_pictures(options.reference_urls, settings)
    limits = image_limits(settings)
    labels = [f"references[{index}]" for index in range(len(uploads))]
    try:
        face = settle_reference_face(asked, aligned=options.aligned)
        infos = [probe_upload(upload, label, limits) for upload, label in zip(uploads, labels, strict=True)]
        if options.aligned:
            for info, label in zip(infos, labels, strict=True):
                check_square(info.width, info.height, label)
    except RequestError as error:
        raise describe_refusal(error) from error
    keys = reference_keys(job_id)
    files = [
        describe_file(upload, info, key) for upload, info, key in zip(uploads, infos, keys, strict=False)
    ]
    return Submission(
        job_id=job_id,
        request=EnrollRequest((*files, *remote), face, options.aligned),
        priority=Priority.NORMAL,
        blobs={file.key: upload.data for file, upload in zip(files, uploads, strict=True)},
        results=count * BYTES_A_REFERENCE,
    )


async def settle_person(gateway: Gateway, person: Person) -> Person:
    """As the person is, if no worker is left who could say so."""
    if person.status is not PersonStatus.PREPARING and not person.change:
        return person
    job = await gateway.queue.get(person.change or person.id)
    if job is None and time.time() - (person.changed_at or person.created_at) < ABANDONED_AFTER:
        return person
    if job is not None and (not job.status.terminal or job.status is JobStatus.SUCCEEDED):
        return await gateway.people.get(person.id) or person
    lost = JobFailure("worker-lost", "The workers were lost while looking at the references.")
    failure = job.failure if job is not None and job.failure is not None else lost
    if person.change:
        await gateway.people.end_change(person.id, person.change, failure)
    else:
        await gateway.people.fail(person.id, failure, ttl=gateway.settings.result_ttl)
    return await gateway.people.get(person.id) or person


async def find_people(gateway: Gateway, caller: Caller, person_ids: Sequence[str]) -> tuple[Person, ...]:
    """The caller's people whom a restoration names; raises ProblemError if one of them cannot be used."""
    for person_id in person_ids:
        if person_ids.count(person_id) > 1:
            fault = {"parameter": "person", "value": person_id[:80], "reason": "was named before"}
            raise ProblemError(
                ProblemType.INVALID_PARAMETER,
                f"The person {person_id[:80]!r} is named twice.",
                parameter="person",
                errors=[fault],
            )
    return tuple([await find_ready_person(gateway, caller, person_id) for person_id in person_ids])


async def find_ready_person(gateway: Gateway, caller: Caller, person_id: str) -> Person:
    """The caller's person, who may be in the middle of a change; raises ProblemError for one who cannot be used."""
    person = await find_person(gateway, caller, person_id)
    match (person := await settle_person(gateway, person)).status:
        case PersonStatus.PREPARING:
            raise ProblemError(
                ProblemType.PERSON_NOT_READY,
                f"No worker has looked at the references of the person {person.id} yet.",
                headers={"Retry-After": "2"},
            )
        case PersonStatus.FAILED if person.failure:
            failure = ProblemDetails.of(person.failure, person.request_id).model_dump(exclude_none=True)
            raise ProblemError(ProblemType.PERSON_FAILED, person.failure.detail, failure=failure)
    return person
