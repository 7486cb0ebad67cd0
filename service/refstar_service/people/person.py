"""A person as a value, and where what is stored of them lies."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from refstar_service.jobs.job import JobFailure
from refstar_service.jobs.request import (
    MOST_REFERENCES,
    PersonReference,
    StoredPerson,
    read_person_reference,
)

ENCODER = "encoder:"  # such fields of a record say for which encoders features are stored


class PersonStatus(StrEnum):
    PREPARING = "preparing"  # a worker has yet to look at the references; the job with the person's id does
    READY = "ready"  # restorations may name the person
    FAILED = "failed"  # no reference can be used; `failure` says why


@dataclass(frozen=True)
class Person:
    """`references` are in the order in which they were sent, those too that are of no use. Times are unix seconds by
    the clock of Redis; at `expires_at` everything of the person is gone. `encoders`: whose features are stored."""

    id: str
    owner: str
    name: str
    request_id: str
    status: PersonStatus
    created_at: float
    expires_at: float
    references: tuple[PersonReference, ...]
    failure: JobFailure | None
    encoders: tuple[str, ...]

    @classmethod
    def from_fields(cls, person_id: str, fields: Mapping[str, str]) -> Person:
        """From the fields of the record in Redis."""
        failure = fields.get("failure")
        return cls(
            id=person_id,
            owner=fields["owner"],
            name=fields["name"],
            request_id=fields["request_id"],
            status=PersonStatus(fields["status"]),
            created_at=float(fields["created_at"]),
            expires_at=float(fields["expires_at"]),
            references=tuple(
                read_person_reference(one) for one in json.loads(fields.get("references", "[]"))
            ),
            failure=JobFailure(**json.loads(failure)) if failure else None,
            encoders=tuple(name.removeprefix(ENCODER) for name in fields if name.startswith(ENCODER)),
        )

    @property
    def stored(self) -> StoredPerson:
        """The person as a job names them."""
        return StoredPerson(self.id, self.references)


def crop_key(person_id: str, index: int) -> str:
    """The blob of the aligned face of a reference, from 1: a PNG."""
    return f"people/{person_id}/crop-{index}"


def features_key(person_id: str, index: int, encoder: str) -> str:
    """The blob of what an encoder, named by the SHA-256 of its graph, says of that face."""
    return f"people/{person_id}/features-{index}-{encoder}"


def blob_keys(person_id: str, encoders: tuple[str, ...]) -> list[str]:
    """Every blob that may be stored of a person."""
    places = range(1, MOST_REFERENCES + 1)
    features = [features_key(person_id, index, encoder) for encoder in encoders for index in places]
    return [*(crop_key(person_id, index) for index in places), *features]
