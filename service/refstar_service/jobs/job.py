"""A job as a value: what was asked, what came out, and the states between. Knows nothing of Redis."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, is_dataclass, replace
from enum import StrEnum
from typing import Any


class JobStatus(StrEnum):
    QUEUED = "queued"  # accepted, no worker has begun (or one gave it back unharmed)
    RUNNING = "running"  # a worker has begun
    SUCCEEDED = "succeeded"  # the result may be fetched until `expires_at`
    FAILED = "failed"  # `failure` says why; it will not be tried again
    CANCELED = "canceled"  # ended by its owner; there is no result
    EXPIRED = "expired"  # only the fact that it existed is left

    @property
    def terminal(self) -> bool:
        return self not in (JobStatus.QUEUED, JobStatus.RUNNING)


class Priority(StrEnum):
    NORMAL = "normal"
    HIGH = "high"  # taken first, but never to the exclusion of normal ones


class Task(StrEnum):
    RESTORE = "restore"  # a picture
    ENROLL = "enroll"  # a person's references are checked, cut and encoded; `image` is the first of them


class FaceAction(StrEnum):
    RESTORED = "restored"
    SKIPPED = "skipped"  # found, but not chosen by the request; `reason` says why
    FAILED = "failed"  # chosen, but left as it was; `reason` says why


#: x, y, width, height in pixels of the upright picture.
Box = tuple[float, float, float, float]


MOST_REFERENCES = 8


def input_keys(job_id: str) -> list[str]:
    """Every blob key that the uploads of a job may have: the picture's, then its references'."""
    return [f"{job_id}/image", *(f"{job_id}/reference-{index}" for index in range(MOST_REFERENCES))]


@dataclass(frozen=True)
class StoredFile:
    """A blob and what it is. `size` in bytes; `sha256` in hex; `name` is the client's file name, or ""."""

    key: str
    sha256: str
    media_type: str
    size: int
    name: str


@dataclass(frozen=True)
class ReferenceReport:
    """What was seen in one reference, and whether it was used.

    `index` counts from 1 in the order of the request. `box`, `score` and `size` (side of the face, pixels) are of
    the face that was taken, if one was found. `sharpness`: 0 to about 1, of the aligned face.
    """

    index: int
    name: str
    box: Box | None
    score: float | None
    size: float | None
    sharpness: float | None
    used: bool
    reason: str | None


@dataclass(frozen=True)
class PersonReference:
    """A reference of a stored person: what was seen in it, and its aligned face if it is of use."""

    report: ReferenceReport
    crop: StoredFile | None


@dataclass(frozen=True)
class StoredPerson:
    """A person as a job names it. `references`: none while they are yet to be enrolled."""

    id: str
    references: tuple[PersonReference, ...]


@dataclass(frozen=True)
class JobRequest:
    """Everything a worker must know. What has a default is missing from jobs of older versions.

    `faces`: aligned, all, largest, center or boxes; `boxes` are the faces meant by the last one. `min_face`: side
    of a face's box in pixels below which it is skipped. `upscale`: 1, 2 or 4 times the picture's size.
    `reference_face`: which face of a reference with several counts, "only" (none: that is refused) or "largest".
    `format`: same or a type that `images` writes. `quality`: 1 to 100. `keep_location`: EXIF's GPS block too.
    `request_id` and `traceparent` (W3C trace context): of the HTTP request that asked. `person`: whose stored
    references are used; then `references` is empty.
    """

    image: StoredFile
    references: tuple[StoredFile, ...]
    model: str
    faces: str
    fidelity: float
    reference_strength: float
    format: str
    quality: int
    boxes: tuple[Box, ...] = ()
    min_face: int = 24
    upscale: int = 1
    reference_face: str = "only"
    keep_location: bool = False
    request_id: str = ""
    traceparent: str = ""
    task: Task = Task.RESTORE
    person: StoredPerson | None = None

    def to_json(self) -> str:
        return _ENCODER.encode(self)

    @classmethod
    def from_json(cls, text: str) -> JobRequest:
        data = json.loads(text)
        data["image"] = StoredFile(**data["image"])
        data["references"] = tuple(StoredFile(**reference) for reference in data["references"])
        data["boxes"] = tuple(_box(box) for box in data.get("boxes", ()))
        data["task"] = Task(data.get("task", Task.RESTORE))
        data["person"] = _person(data.get("person"))
        return cls(**data)

    @property
    def bytes(self) -> int:
        """Of its uploads."""
        return self.image.size + sum(reference.size for reference in self.references)

    def outline(self) -> JobRequest:
        """The part that an expired job remembers: the knobs, and of all files only the key of the image."""
        return replace(self, image=StoredFile(self.image.key, "", "", 0, ""), references=(), person=None)


@dataclass(frozen=True)
class FaceReport:
    """One face of the picture, or a box in which one was asked for and none is (`score` 0).

    `selected`: mean mask per reference, 0 to 1. `points`: eyes, nose and mouth corners (x, y) in pixels of the
    upright input, those at the picture's left first; none for an aligned picture.
    """

    box: Box
    score: float
    action: FaceAction
    reason: str | None
    selected: tuple[float, ...]
    points: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class JobFailure:
    """`code` is a problem slug such as "image-undecodable" or "worker-lost"; `detail` is for a person."""

    code: str
    detail: str


@dataclass(frozen=True)
class JobResult:
    image: StoredFile
    selection: StoredFile | None


@dataclass(frozen=True)
class Outcome:
    """What a worker reports: SUCCEEDED with result or FAILED with failure. `timings`: seconds by stage.

    A failed one may say what was found too: `faces`, `references`.
    """

    status: JobStatus
    result: JobResult | None
    failure: JobFailure | None
    faces: tuple[FaceReport, ...]
    timings: dict[str, float]
    references: tuple[ReferenceReport, ...] = ()

    def __post_init__(self) -> None:
        if self.status is JobStatus.SUCCEEDED and self.result is not None and self.failure is None:
            return
        if self.status is JobStatus.FAILED and self.failure is not None and self.result is None:
            return
        raise ValueError(f"an outcome is succeeded with a result or failed with a failure, not {self}")

    def to_json(self) -> str:
        return _ENCODER.encode(self)

    @classmethod
    def from_json(cls, text: str) -> Outcome:
        data = json.loads(text)
        return cls(
            status=JobStatus(data["status"]),
            result=_result(data["result"]),
            failure=JobFailure(**data["failure"]) if data["failure"] else None,
            faces=tuple(_face(face) for face in data["faces"]),
            timings=data["timings"],
            references=tuple(reference_report(reference) for reference in data.get("references", ())),
        )


@dataclass(frozen=True)
class Job:
    """A job as it was when it was read. Times are unix seconds by the clock of Redis.

    `expires_at`: when a job that is not terminal is given up, and when one that is becomes unreadable.
    `version` rises with every change and never repeats for one id. `canceling`: running, but its outcome will
    not be kept. Of an expired job only the outline of its request is left.
    """

    id: str
    status: JobStatus
    priority: Priority
    owner: str
    request: JobRequest
    created_at: float
    expires_at: float
    version: int
    attempts: int = 0
    started_at: float | None = None
    finished_at: float | None = None
    faces: tuple[FaceReport, ...] = ()
    failure: JobFailure | None = None
    result: JobResult | None = None
    timings: dict[str, float] = field(default_factory=dict)
    canceling: bool = False
    references: tuple[ReferenceReport, ...] = ()

    @classmethod
    def from_fields(cls, job_id: str, fields: Mapping[str, str]) -> Job:
        """From the fields of its hash in Redis, as `keys.py` lists them."""
        outcome = Outcome.from_json(fields["outcome"]) if "outcome" in fields else None
        return cls(
            id=job_id,
            status=JobStatus(fields["status"]),
            priority=Priority(fields["priority"]),
            owner=fields["owner"],
            request=JobRequest.from_json(fields["request"]),
            attempts=int(fields["attempts"]),
            created_at=float(fields["created_at"]),
            started_at=_moment(fields.get("started_at")),
            finished_at=_moment(fields.get("finished_at")),
            expires_at=float(fields["expires_at"]),
            faces=outcome.faces if outcome else (),
            failure=outcome.failure if outcome else None,
            result=outcome.result if outcome else None,
            timings=outcome.timings if outcome else {},
            canceling="canceling" in fields,
            version=int(fields["version"]),
            references=outcome.references if outcome else (),
        )


def _members(value: object) -> dict[str, Any]:
    if is_dataclass(value):
        return vars(value)
    raise TypeError(f"{type(value).__name__} does not go into JSON")


# Not by way of `dataclasses.asdict`: its deep copies cost more than all else of a submission.
_ENCODER = json.JSONEncoder(default=_members, separators=(",", ":"), ensure_ascii=False)


def _box(numbers: list[float]) -> Box:
    x, y, width, height = numbers
    return x, y, width, height


def _face(data: dict[str, Any]) -> FaceReport:
    return FaceReport(
        box=_box(data["box"]),
        score=data["score"],
        action=FaceAction(data["action"]),
        reason=data["reason"],
        selected=tuple(data["selected"]),
        points=tuple((x, y) for x, y in data.get("points", ())),
    )


def reference_report(data: dict[str, Any]) -> ReferenceReport:
    """From the mapping that `dataclasses.asdict` made of one and JSON brought back."""
    return ReferenceReport(**data | {"box": _box(data["box"]) if data["box"] else None})


def person_reference(data: dict[str, Any]) -> PersonReference:
    """The same for a person's reference."""
    crop = StoredFile(**data["crop"]) if data["crop"] else None
    return PersonReference(reference_report(data["report"]), crop)


def _person(data: dict[str, Any] | None) -> StoredPerson | None:
    if data is None:
        return None
    return StoredPerson(data["id"], tuple(person_reference(one) for one in data["references"]))


def _result(data: dict[str, Any] | None) -> JobResult | None:
    if data is None:
        return None
    selection = data["selection"]
    return JobResult(StoredFile(**data["image"]), StoredFile(**selection) if selection else None)


def _moment(text: str | None) -> float | None:
    return float(text) if text else None
