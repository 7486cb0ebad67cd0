"""A person as a value, and where what is stored of them lies."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from pydantic import TypeAdapter

from refstar_service.jobs.job import JobFailure, unreadable
from refstar_service.jobs.record import check_schema, read_record
from refstar_service.jobs.request import MOST_REFERENCES, PersonReference, StoredPerson

#: Most references that a person is ever given, with those that were removed: deleting the person deletes what may be
#: left of any of them.
MOST_NUMBERS = 200
BYTES_A_REFERENCE = 4 * 2**20  # at most, of its face as PNG and of its encoded features
ENCODER = "encoder:"  # such fields of a record say for which encoders features are stored


_REFERENCES = TypeAdapter(tuple[PersonReference, ...])
_FAILURE = TypeAdapter(JobFailure)


class PersonStatus(StrEnum):
    PREPARING = "preparing"  # a worker has yet to look at the references; the job with the person's id does
    READY = "ready"  # restorations may name the person
    FAILED = "failed"  # no reference can be used; `failure` says why


@dataclass(frozen=True)
class Person:
    """`references` are in the order in which they were sent, those too that are of no use. Times are unix seconds by
    the clock of Redis; at `expires_at` everything of the person is gone. `encoders`: whose features are stored.

    `change`: the id of the job that looks at references which are to be added, from `changed_at` on; until it ends, all
    is as it was before. `failure` of a person who is ready: why the last change was not made. `numbered`: the highest
    number that a reference was given; none is given twice.
    """

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
    change: str = ""
    changed_at: float = 0.0
    numbered: int = 0

    @classmethod
    def from_fields(cls, person_id: str, fields: Mapping[str, str]) -> Person:
        """From the fields of the record in Redis. Never an error: a person of whom something cannot be read has failed
        as `record-unreadable`."""
        references: tuple[PersonReference, ...] = ()
        failure = None
        try:
            check_schema(fields)
            status = PersonStatus(fields.get("status", ""))
            references = read_record(_REFERENCES, fields.get("references", "[]"))
            if "failure" in fields:
                failure = read_record(_FAILURE, fields["failure"])
        except ValueError as error:  # RecordError among them
            status, failure = PersonStatus.FAILED, unreadable(error)
        created_at = _moment(fields.get("created_at"))
        return cls(
            id=person_id,
            owner=fields.get("owner", ""),
            name=fields.get("name", ""),
            request_id=fields.get("request_id", ""),
            status=status,
            created_at=created_at,
            expires_at=_moment(fields.get("expires_at")) or created_at,
            references=references,
            failure=failure,
            encoders=tuple(name.removeprefix(ENCODER) for name in fields if name.startswith(ENCODER)),
            change=fields.get("change", ""),
            changed_at=_moment(fields.get("changed_at")),
            numbered=_read_numbered(fields, references),
        )

    @property
    def blob_keys(self) -> list[str]:
        """Every blob that may be stored of the person."""
        most = max(MOST_REFERENCES, self.numbered)
        return blob_keys(self.id, self.encoders, range(1, most + 1))

    @property
    def stored(self) -> StoredPerson:
        """The person as a job names them."""
        return StoredPerson(self.id, self.references)


def _read_numbered(fields: Mapping[str, str], references: Sequence[PersonReference]) -> int:
    """A person who was never changed has all references still."""
    text = fields.get("numbered", "")
    return int(text) if text.isdecimal() else max((one.report.index for one in references), default=0)


def _moment(text: str | None) -> float:
    try:
        return float(text or "")
    except ValueError:
        return 0.0


def crop_key(person_id: str, index: int) -> str:
    """The blob of the aligned face of a reference, from 1: a PNG."""
    return f"people/{person_id}/crop-{index}"


def features_key(person_id: str, index: int, encoder: str) -> str:
    """The blob of what an encoder, named by the SHA-256 of its graph, says of that face."""
    return f"people/{person_id}/features-{index}-{encoder}"


def blob_keys(person_id: str, encoders: Iterable[str], numbers: Collection[int]) -> list[str]:
    """Every blob that may be stored of references with these numbers."""
    features = [features_key(person_id, index, encoder) for encoder in encoders for index in numbers]
    return [*(crop_key(person_id, index) for index in numbers), *features]
