"""How a stored person is changed: renamed and rid of references at once, given further ones by a job."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from refstar_service.gateway.http.context import Gateway
from refstar_service.gateway.http.problem_types import ProblemType
from refstar_service.gateway.http.problems import ProblemError
from refstar_service.gateway.requests.enrollments import read_references
from refstar_service.gateway.requests.form import Form, FormLimits, report_surplus
from refstar_service.gateway.requests.options import FORMS, parse_changes
from refstar_service.gateway.requests.submission import Submission
from refstar_service.jobs import EnrollRequest
from refstar_service.jobs.request import MOST_REFERENCES
from refstar_service.people import MOST_NUMBERS, Amendment, Person, blob_keys
from refstar_service.settings import Settings


@dataclass(frozen=True, eq=False)
class Change:
    """`submission`: the job that looks at further references, if there are any."""

    name: str | None
    remove: frozenset[int]
    submission: Submission | None

    @property
    def added(self) -> int:
        return len(self.submission.request.files) if self.submission else 0


def change_limits(settings: Settings) -> FormLimits:
    return FormLimits(
        files={"references": settings.max_references},
        max_file_bytes=settings.max_image_bytes,
        max_request_bytes=settings.max_request_bytes,
        timeout=settings.upload_timeout,
        lists={"remove": MOST_REFERENCES, "reference_urls": settings.max_references},
        members=FORMS["PersonChangesDocument"]["properties"],
    )


def read_change(form: Form, settings: Settings, change_id: str) -> Change:
    """The change in a form; raises ProblemError. Hashes megabytes: call it by `scan_form`."""
    options, asked = parse_changes(form)
    submission = None
    if form.files_of("references") or options.reference_urls:
        submission = read_references(form, settings, change_id, asked, options)
    elif asked or options.aligned:
        raise _refuse(
            "references", "`reference_face` and `aligned` say how references are looked at: send some"
        )
    if submission is None and options.name is None and not options.remove:
        raise ProblemError(
            ProblemType.INVALID_PARAMETER,
            "Send `name`, `references`, `reference_urls` or `remove`: nothing is to be changed.",
        )
    return Change(options.name, frozenset(options.remove), submission)


async def apply_change(gateway: Gateway, person_id: str, change: Change) -> Person | None:
    """A change without further references: at once. None if the person is gone; raises ProblemError."""

    def decide(person: Person) -> Amendment | None:
        gone = _find_removed(person, change)
        if change.name in (None, person.name) and not gone:
            return None
        return Amendment(change.name, gone, failure=person.failure)

    amended = await gateway.people.amend(person_id, _checked(change, gateway.settings, decide))
    if amended is None:
        return None
    await gateway.blobs.delete(*blob_keys(person_id, amended[1].encoders, change.remove))
    return amended[1]


async def begin_change(gateway: Gateway, person_id: str, change: Change) -> Submission | None:
    """From now on the person waits for a job, which is returned. None if the person is gone; raises ProblemError."""
    submission, request = change.submission, change.submission and change.submission.request
    assert submission is not None
    assert isinstance(request, EnrollRequest)

    def decide(person: Person) -> Amendment | None:
        if person.change == submission.job_id:
            return None  # it has begun: the reply got lost
        return Amendment(change=submission.job_id, numbered=person.numbered + change.added)

    amended = await gateway.people.amend(person_id, _checked(change, gateway.settings, decide))
    if amended is None:
        return None
    first = amended[1].numbered - change.added + 1
    wanted = replace(request, person=person_id, first=first, remove=tuple(sorted(change.remove)))
    return replace(submission, request=wanted)


async def rename_person(gateway: Gateway, person_id: str, name: str) -> None:
    """At once, whatever else is under way."""

    def decide(person: Person) -> Amendment | None:
        same = name == person.name
        return None if same else Amendment(name, change=person.change, failure=person.failure)

    await gateway.people.amend(person_id, decide)


def _checked(
    change: Change, settings: Settings, decide: Callable[[Person], Amendment | None]
) -> Callable[[Person], Amendment | None]:
    def check(person: Person) -> Amendment | None:
        if person.change and not (change.submission and person.change == change.submission.job_id):
            raise ProblemError(
                ProblemType.PERSON_NOT_READY,
                "Another change of the person is under way: no worker has looked at its references yet.",
                headers={"Retry-After": "2"},
            )
        _check_numbers(person, change, settings)
        return decide(person)

    return check


def _check_numbers(person: Person, change: Change, settings: Settings) -> None:
    """Raises ProblemError for references that were never there, too many of them, or none that is left."""
    for number in sorted(change.remove):
        if number > person.numbered:
            there = ", ".join(str(one.report.index) for one in person.references)
            raise _refuse("remove", f"the person has no reference {number}, but {there}", str(number))
    kept = [one for one in person.references if one.report.index not in change.remove]
    if len(kept) + change.added > settings.max_references and change.added:
        raise report_surplus("references", settings.max_references)
    if change.added and person.numbered + change.added > MOST_NUMBERS:
        raise ProblemError(
            ProblemType.TOO_MANY_REFERENCES,
            f"A person may be given {MOST_NUMBERS} references altogether, with those that were removed. Store the "
            "person anew.",
            limit=MOST_NUMBERS,
            setting="",
        )
    if not change.added and not any(one.crop for one in kept):
        raise _refuse("remove", "no reference would be left that can be used: delete the person instead")


def _find_removed(person: Person, change: Change) -> frozenset[int]:
    """Those of them that are still there."""
    return change.remove & {one.report.index for one in person.references}


def _refuse(parameter: str, reason: str, value: str = "") -> ProblemError:
    return ProblemError(
        ProblemType.INVALID_PARAMETER,
        f"{parameter}: {reason}.",
        parameter=parameter,
        errors=[{"parameter": parameter, "value": value, "reason": reason}],
    )
