"""What is asked of a worker: to restore a picture, or to enroll a person. Values; knows nothing of Redis."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, is_dataclass, replace
from typing import Any

from pydantic import TypeAdapter

from refstar_service.jobs.record import RecordError, read_record
from refstar_service.redis.keys import LATER_SCHEMA, PLAIN_SCHEMA
from refstar_service.restoration.knobs import KNOBS, Knobs, ReferenceFace
from refstar_service.restoration.report import ReferenceReport

MOST_REFERENCES = 8
_SHADOW = "-shadow"  # ids of jobs have no hyphen otherwise


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
class RemoteFile:
    """A picture that a worker fetches: nothing of it is stored. `url` may hold a secret; `name` is the last part of its
    path."""

    url: str
    name: str


InputFile = StoredFile | RemoteFile


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

    `model`: what a worker must have to take the job. It is the plain name of the version that is the default when the
    job is accepted, which every release of the service can read, and else `NAME@VERSION`. `version`: the one that the
    job was given then, whatever is the default later; "" in records of releases that had none. `person`: whose stored
    references are used, and `others`: who else's, each for the faces that show them; then `references` is empty.
    `output_url`: where the result is put before the job counts as done; it may hold a secret. `request_id` and
    `traceparent` (W3C trace context): of the HTTP request that asked.

    `shadow`: the model, as `NAME@VERSION`, that does the job once more when it has succeeded, for comparison. `of`: id
    of the job that this one is the shadow of; it reads the uploads of that job, and its result is for nobody.
    """

    image: InputFile
    references: tuple[InputFile, ...]
    model: str
    knobs: Knobs
    person: StoredPerson | None = None
    request_id: str = ""
    traceparent: str = ""
    output_url: str = ""
    others: tuple[StoredPerson, ...] = ()
    version: str = ""
    shadow: str = ""
    of: str = ""

    @property
    def people(self) -> tuple[StoredPerson, ...]:
        """All whom it names, in its order."""
        return self.others if self.person is None else (self.person, *self.others)

    @property
    def name(self) -> str:
        """Of its model, without the version."""
        return self.model.partition("@")[0]

    @property
    def full_name(self) -> str:
        """`NAME@VERSION`, or the name alone where no version is on record."""
        return f"{self.name}@{self.version}" if self.version else self.model

    @property
    def is_shadow(self) -> bool:
        """Whether it is for comparison only."""
        return self.of != ""

    def as_shadow(self, job_id: str) -> RestoreRequest:
        """The same once more by its `shadow`; `job_id`: its own."""
        version = self.shadow.partition("@")[2]
        return replace(self, model=self.shadow, version=version, output_url="", shadow="", of=job_id)

    @property
    def files(self) -> tuple[InputFile, ...]:
        """The picture, then the references."""
        return (self.image, *self.references)

    @property
    def uploads(self) -> tuple[StoredFile, ...]:
        """Those of its files that are stored."""
        return stored_files(self.files)

    @property
    def bytes(self) -> int:
        """Of its uploads."""
        return sum(file.size for file in self.uploads)

    @property
    def schema(self) -> int:
        """With which it is recorded. An older worker, which would read `stranger` as nothing, has no model with that
        knob: it does not load one."""
        return LATER_SCHEMA if self.output_url or self.others else PLAIN_SCHEMA

    def to_json(self) -> str:
        return write_json({"restore": self})

    def outline(self) -> RestoreRequest:
        """The part that an expired job remembers: the knobs, and of all files only the key of the image."""
        key = self.image.key if isinstance(self.image, StoredFile) else ""
        image = StoredFile(key, "", "", 0, "")
        return replace(self, image=image, references=(), person=None, others=(), output_url="")


@dataclass(frozen=True)
class EnrollRequest:
    """Look at the references of a new person, cut and encode them, and keep what comes of it. The job has the id of the
    person.

    `aligned`: every reference is one aligned, square face crop. `person`: the id of somebody who is there already and
    gets these references, numbered from `first` on, in the place of those with the numbers `remove`; then the job has
    an id of its own. The rest as in `RestoreRequest`.
    """

    references: tuple[InputFile, ...]
    reference_face: ReferenceFace = ReferenceFace.ONLY
    aligned: bool = False
    request_id: str = ""
    traceparent: str = ""
    person: str = ""
    first: int = 1
    remove: tuple[int, ...] = ()

    @property
    def files(self) -> tuple[InputFile, ...]:
        """The references."""
        return self.references

    @property
    def uploads(self) -> tuple[StoredFile, ...]:
        """Those of its files that are stored."""
        return stored_files(self.files)

    @property
    def bytes(self) -> int:
        """Of its uploads."""
        return sum(file.size for file in self.uploads)

    @property
    def schema(self) -> int:
        """With which it is recorded."""
        return LATER_SCHEMA if self.person else PLAIN_SCHEMA

    @property
    def model(self) -> str:
        """Any will do: what is kept of a person is for all of them."""
        return ""

    @property
    def full_name(self) -> str:
        return ""

    @property
    def is_shadow(self) -> bool:
        return False

    def to_json(self) -> str:
        return write_json({"enroll": self})

    def outline(self) -> EnrollRequest:
        """The part that an expired job remembers."""
        return replace(self, references=())


Request = RestoreRequest | EnrollRequest


def stored_files(files: Iterable[InputFile]) -> tuple[StoredFile, ...]:
    return tuple(file for file in files if isinstance(file, StoredFile))


def remote_files(files: Iterable[InputFile]) -> tuple[RemoteFile, ...]:
    return tuple(file for file in files if isinstance(file, RemoteFile))


@dataclass(frozen=True)
class _Asked:
    """One of them, by the name of the task."""

    restore: RestoreRequest | None = None
    enroll: EnrollRequest | None = None


_ASKED = TypeAdapter(_Asked)


def read_request(text: str) -> Request:
    """What `to_json` wrote, in this version or another. Raises RecordError."""
    asked = read_record(_ASKED, text)
    request = asked.restore or asked.enroll
    if request is None:
        raise RecordError("it asks for nothing that this version of the service can do")
    return request


def shadow_id(job_id: str) -> str:
    """The id of the shadow of a job."""
    return job_id + _SHADOW


def job_of_shadow(job_id: str) -> str:
    """The id of the job whose shadow has this id; "" if it is none of a shadow."""
    return job_id.removesuffix(_SHADOW) if job_id.endswith(_SHADOW) else ""


def stand_in(text: str) -> Request:
    """In the place of a request that cannot be read: it asks for nothing."""
    if text.startswith('{"enroll"'):
        return EnrollRequest(())
    return RestoreRequest(StoredFile("", "", "", 0, ""), (), "", Knobs(KNOBS["faces"].parse("all")))


def write_json(value: object) -> str:
    """Of values made of dataclasses, compact."""
    return _ENCODER.encode(value)


def _members(value: object) -> dict[str, Any]:
    if is_dataclass(value):
        return vars(value)
    raise TypeError(f"{type(value).__name__} does not go into JSON")


# Not by way of `dataclasses.asdict`: its deep copies cost more than all else of a submission.
_ENCODER = json.JSONEncoder(default=_members, separators=(",", ":"), ensure_ascii=False)
