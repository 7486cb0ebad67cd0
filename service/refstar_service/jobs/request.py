"""What is asked of a worker: to restore a picture, or to enroll a person. Values; knows nothing of Redis."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, is_dataclass, replace
from typing import Any

from refstar_service.restoration.knobs import Knobs, ReferenceFace, read_knobs
from refstar_service.restoration.report import ReferenceReport, read_reference_report

MOST_REFERENCES = 8


def input_keys(job_id: str) -> list[str]:
    """Every blob key that the uploads of a job may have: the picture's, then its references'."""
    return [f"{job_id}/image", *reference_keys(job_id)]


def reference_keys(job_id: str) -> list[str]:
    """The blob keys of its uploaded references, as many as there may be."""
    return [f"{job_id}/reference-{index}" for index in range(MOST_REFERENCES)]


@dataclass(frozen=True)
class StoredFile:
    """A blob and what it is. `size` in bytes; `sha256` in hex; `name` is the client's file name, or "". `pixels`: of an
    upload, how many its header announces, as the gateway read it."""

    key: str
    sha256: str
    media_type: str
    size: int
    name: str
    pixels: int = 0


@dataclass(frozen=True)
class PersonReference:
    """A reference of a stored person: what was seen in it, and its aligned face if it is of use."""

    report: ReferenceReport
    crop: StoredFile | None


@dataclass(frozen=True)
class StoredPerson:
    """A person as a restoration names them."""

    id: str
    references: tuple[PersonReference, ...]


@dataclass(frozen=True)
class RestoreRequest:
    """Restore the faces of a picture.

    `person`: whose stored references are used; then `references` is empty. `request_id` and `traceparent` (W3C trace
    context): of the HTTP request that asked.
    """

    image: StoredFile
    references: tuple[StoredFile, ...]
    model: str
    knobs: Knobs
    person: StoredPerson | None = None
    request_id: str = ""
    traceparent: str = ""

    @property
    def files(self) -> tuple[StoredFile, ...]:
        """Its uploads: the picture, then the references."""
        return (self.image, *self.references)

    @property
    def bytes(self) -> int:
        """Of its uploads."""
        return sum(file.size for file in self.files)

    def to_json(self) -> str:
        return write_json({"restore": self})

    def outline(self) -> RestoreRequest:
        """The part that an expired job remembers: the knobs, and of all files only the key of the image."""
        return replace(self, image=StoredFile(self.image.key, "", "", 0, ""), references=(), person=None)


@dataclass(frozen=True)
class EnrollRequest:
    """Look at the references of a new person, cut and encode them, and keep what comes of it. The job has the id of the
    person.

    `aligned`: every reference is one aligned, square face crop. The rest as in `RestoreRequest`.
    """

    references: tuple[StoredFile, ...]
    reference_face: ReferenceFace = ReferenceFace.ONLY
    aligned: bool = False
    request_id: str = ""
    traceparent: str = ""

    @property
    def files(self) -> tuple[StoredFile, ...]:
        """Its uploads."""
        return self.references

    @property
    def bytes(self) -> int:
        """Of its uploads."""
        return sum(file.size for file in self.files)

    @property
    def model(self) -> str:
        """Any will do: what is kept of a person is for all of them."""
        return ""

    def to_json(self) -> str:
        return write_json({"enroll": self})

    def outline(self) -> EnrollRequest:
        """The part that an expired job remembers."""
        return replace(self, references=())


Request = RestoreRequest | EnrollRequest


def read_request(text: str) -> Request:
    """What `to_json` wrote."""
    ((task, members),) = json.loads(text).items()
    references = tuple(StoredFile(**file) for file in members.pop("references"))
    if task == "enroll":
        face = ReferenceFace(members.pop("reference_face"))
        return EnrollRequest(references=references, reference_face=face, **members)
    image, knobs = StoredFile(**members.pop("image")), read_knobs(members.pop("knobs"))
    person = _person(members.pop("person"))
    return RestoreRequest(image=image, references=references, knobs=knobs, person=person, **members)


def read_person_reference(members: Mapping[str, Any]) -> PersonReference:
    """From the members of its JSON."""
    crop = StoredFile(**members["crop"]) if members["crop"] else None
    return PersonReference(read_reference_report(members["report"]), crop)


def _person(members: Mapping[str, Any] | None) -> StoredPerson | None:
    if members is None:
        return None
    return StoredPerson(members["id"], tuple(read_person_reference(one) for one in members["references"]))


def write_json(value: object) -> str:
    """Of values made of dataclasses, compact."""
    return _ENCODER.encode(value)


def _members(value: object) -> dict[str, Any]:
    if is_dataclass(value):
        return vars(value)
    raise TypeError(f"{type(value).__name__} does not go into JSON")


# Not by way of `dataclasses.asdict`: its deep copies cost more than all else of a submission.
_ENCODER = json.JSONEncoder(default=_members, separators=(",", ":"), ensure_ascii=False)
