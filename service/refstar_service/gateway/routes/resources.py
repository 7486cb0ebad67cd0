"""The bodies of answers, as pydantic models: OpenAPI describes exactly these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, PlainSerializer, WithJsonSchema

from refstar_service.gateway.http.resource import ProblemDetails, Resource
from refstar_service.jobs import Job, JobStatus, Progress, RestoreRequest
from refstar_service.jobs.moments import write_moment
from refstar_service.people import Person
from refstar_service.restoration.report import FaceReport, ReferenceReport


def _describe_numbers(count: int) -> WithJsonSchema:
    """`prefixItems`, which tuples have otherwise, mean little to most programs that make clients."""
    return WithJsonSchema(
        {"type": "array", "items": {"type": "number"}, "minItems": count, "maxItems": count}
    )


BoxSides = Annotated[tuple[float, float, float, float], _describe_numbers(4)]
Point = Annotated[tuple[float, float], _describe_numbers(2)]
Moment = Annotated[
    datetime,
    PlainSerializer(write_moment, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}, mode="serialization"),
]


class FaceResource(Resource):
    box: BoxSides
    """x, y, width and height in pixels of the upright picture."""
    score: float
    """Confidence of the face detector, 0 to 1. 1 for an aligned picture, 0 for a box without a face."""
    points: list[Point]
    """Eyes, nose and mouth corners (x, y) in pixels of the upright picture, from left to right. Empty if no face was
    searched for or found."""
    action: Literal["restored", "kept", "skipped", "failed"]
    """What was done with this face. `kept`: unchanged, because its restoration was no better. `skipped`: unchanged,
    because it was not requested. `failed`: requested, but left unchanged."""
    reason: str | None
    """Why the face was not restored. Kept: `already-sharp`, `not-plausible`. Skipped: `not-largest`, `not-center`,
    `not-in-boxes`, `face-too-small`, `too-many-faces`. Failed: `no-face-found` (a box without a face),
    `points-unusable`, `not-finite`, `reference-stranger` (with `stranger=refuse`), or the type of problem that made the
    whole restoration fail."""
    selected: list[float]
    """For each reference in the request, the mean share of this face that was taken from it, 0 to 1; 0 for a reference
    that was left out or is another person's, and for all if the face is unchanged. Empty if the face was not given to
    the model."""
    person: str | None
    """ID of the person whom the model took this face for, of those that the request named; null for a stranger."""
    same_person: list[float | None]
    """For each reference in the request, the model's estimate of the probability that it shows the person of this face,
    0 to 1; null for a reference that the face was not given, with `reference_strength=0`, and if the model does not say
    (its `knobs` lack `stranger`). Empty where `selected` is."""
    likeness: list[float | None]
    """The same estimate for the restored face instead of the one in the picture: how much the result looks like the
    person in each reference, 0 to 1. Null also if the face is unchanged. It is no identification: the restored face was
    made with these references, and looks like them even if they show somebody else."""

    @classmethod
    def of(cls, report: FaceReport) -> Self:
        return cls(
            box=report.box,
            score=report.score,
            points=list(report.points),
            action=report.action.value,
            reason=report.reason,
            selected=list(report.selected),
            person=report.person,
            same_person=_fill(report.same_person, len(report.selected)),
            likeness=_fill(report.likeness, len(report.selected)),
        )


def _fill(judged: Sequence[float | None], count: int) -> list[float | None]:
    """Older workers do not say anything of the references."""
    return list(judged) or [None] * count


class ReferenceResource(Resource):
    """What was found in a reference. Members are null if nothing was found or searched for."""

    index: int
    """1 is the first reference in the request, or of the first person whom it names."""
    name: str
    """Sanitized file name of the upload; may be empty."""
    box: BoxSides | None
    """The face that is used: x, y, width and height in pixels of the upright reference."""
    score: float | None
    """Confidence of the face detector, 0 to 1."""
    size: float | None
    """Side of the face, in pixels."""
    sharpness: float | None
    """Sharpness of the aligned face, from 0 (flat) to about 1 (as sharp as pictures get)."""
    used: bool
    reason: str | None
    """Why the reference was left out (`reference-too-small`, `reference-too-blurred`, `reference-surplus`,
    `reference-removed`), or
    why it made the restoration fail (`reference-without-face`, `several-faces`). Each reason is explained at
    `/problems/<reason>`."""
    person: str | None
    """ID of the person whose reference it is, in a restoration that names people."""

    @classmethod
    def of(cls, report: ReferenceReport) -> Self:
        return cls(**asdict(report))


class Output(Resource):
    """Where the result is put (`output_url`)."""

    host: str
    """Of the URL, of which no more is shown: the rest may be a secret."""
    delivered_at: Moment | None
    """When the result was put there; null before, and if the restoration failed."""

    @classmethod
    def of(cls, url: str, delivered_at: float | None) -> Self:
        return cls(
            host=urlsplit(url).hostname or "",
            delivered_at=None if delivered_at is None else _moment(delivered_at),
        )


class ProgressResource(Resource):
    """How far a running restoration is."""

    stage: Literal["preparing", "restoring", "storing"]
    """`preparing`: pictures are fetched and decoded, and faces searched for. `restoring`: faces go through the model.
    `storing`: the result is put together and stored, and sent to an `output_url`."""
    faces_done: int
    """How many faces are through the model."""
    faces: int | None
    """How many faces go through the model; null until they have been found."""

    @classmethod
    def of(cls, progress: Progress) -> Self:
        return cls(stage=progress.stage.value, faces_done=progress.faces_done, faces=progress.faces)


class Links(Resource):
    """Paths on this service; null while they are not available."""

    self_: str = Field(serialization_alias="self")
    image: str | None
    selection: str | None
    events: str | None
    cancel: str | None


class Restoration(Resource):
    """A restoration: its status and, once it has ended, its outcome."""

    id: str
    status: Literal["queued", "running", "succeeded", "failed", "canceled", "expired"]
    canceling: bool
    """`true` if a running restoration was canceled and its outcome will be discarded."""
    model: str
    """Name of the model."""
    model_version: str | None
    """The version of the model that the restoration was given when it was accepted; null if an older release of the
    service accepted it, which had one version of each model."""
    created_at: Moment
    started_at: Moment | None
    finished_at: Moment | None
    expires_at: Moment
    """When the restoration expires. A finished restoration and its pictures are deleted then."""
    person: str | None
    """ID of the stored person whose references are used, if the request named one alone."""
    people: list[str]
    """IDs of all people whom the request named, in its order. Empty once the restoration has expired."""
    output: Output | None
    """Where the result is put, if the request named an `output_url` and has not expired."""
    queue_position: int | None
    """Number of restorations ahead of this one; null unless it is queued."""
    progress: ProgressResource | None
    """How far it is; null unless it is running, and in its first half second. Updated at most twice a second."""
    attempts: int
    """How many times a worker has started this restoration."""
    faces: list[FaceResource]
    """Every face that was found, and every requested box without a face. Also present if the restoration failed."""
    references: list[ReferenceResource]
    """What was found in each reference, and whether it was used."""
    error: ProblemDetails | None
    """Why the restoration failed, or why it expired before it ended."""
    request_id: str
    """ID of the request that created the restoration, as it appears in the logs."""
    timings: dict[str, float]
    """Seconds spent in each stage that was reached, also by a failed restoration."""
    links: Links

    @classmethod
    def of(cls, job: Job, position: int | None) -> Self:
        path, request = f"/v1/restorations/{job.id}", job.request
        assert isinstance(request, RestoreRequest), "an enrollment is not shown as a restoration"
        result = job.result if job.status is JobStatus.SUCCEEDED else None
        return cls(
            id=job.id,
            status=job.status.value,
            canceling=job.canceling,
            model=request.name,
            model_version=request.version or None,
            created_at=_moment(job.created_at),
            started_at=None if job.started_at is None else _moment(job.started_at),
            finished_at=None if job.finished_at is None else _moment(job.finished_at),
            expires_at=_moment(job.expires_at),
            person=request.people[0].id if len(request.people) == 1 else None,
            people=[person.id for person in request.people],
            output=Output.of(request.output_url, result.delivered_at if result else None)
            if request.output_url
            else None,
            queue_position=position if job.status is JobStatus.QUEUED else None,
            progress=ProgressResource.of(job.progress) if job.progress else None,
            attempts=job.attempts,
            faces=[FaceResource.of(face) for face in job.faces],
            references=[ReferenceResource.of(reference) for reference in job.references],
            error=ProblemDetails.of(job.failure, request.request_id) if job.failure else None,
            request_id=request.request_id,
            timings=job.timings,
            links=Links(
                self_=path,
                image=f"{path}/image" if result else None,
                selection=f"{path}/selection" if result and result.selection else None,
                events=None if job.status.terminal else f"{path}/events",
                cancel=None if job.status.terminal else f"{path}/cancel",
            ),
        )


class RestorationList(Resource):
    restorations: list[Restoration]
    """Newest first. A page can have fewer entries than `limit`, or even none, although more pages follow."""
    next: str | None
    """Path of the next page; null on the last page."""


class PersonLinks(Resource):
    self_: str = Field(serialization_alias="self")


class PersonResource(Resource):
    """A person whose references are stored. Restorations name the person in the field `person`."""

    id: str
    name: str
    """The name given in the request; may be empty."""
    status: Literal["preparing", "ready", "failed"]
    """`preparing`: a worker has yet to look at references, of a new person or of a change; during a change,
    restorations can name the person all the same. `failed`: no reference can be used; see `error`."""
    created_at: Moment
    expires_at: Moment
    """When the person and everything stored of them is deleted."""
    references: list[ReferenceResource]
    """What was found in each reference, and whether it will be used. Empty until a worker has looked at them. `index`
    stays as it is when others are removed, and is not given again."""
    error: ProblemDetails | None
    """Why the person failed, or why the last change of a person who is ready was not made."""
    request_id: str
    """ID of the request that stored the person."""
    links: PersonLinks

    @classmethod
    def of(cls, person: Person) -> Self:
        return cls(
            id=person.id,
            name=person.name,
            status="preparing" if person.change else person.status.value,
            created_at=_moment(person.created_at),
            expires_at=_moment(person.expires_at),
            references=[ReferenceResource.of(one.report) for one in person.references],
            error=ProblemDetails.of(person.failure, person.request_id) if person.failure else None,
            request_id=person.request_id,
            links=PersonLinks(self_=f"/v1/people/{person.id}"),
        )


class PersonList(Resource):
    people: list[PersonResource]
    """Newest first."""
    next: str | None
    """Path of the next page; null on the last page."""


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
