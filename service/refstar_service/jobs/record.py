"""What is stored, read by other versions of the service than the one that wrote it: unknown members are ignored,
missing ones have their defaults, and what cannot be read at all says so, one record at a time.

Hence the rule for whoever adds a member to a stored value: it has a default. `SCHEMA_VERSION` rises only when a reader
of the version before would take a record for something that it is not; such a reader then refuses the record.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from refstar_service.redis.keys import SCHEMA_VERSION

T = TypeVar("T")

#: The problem of a job or a person whose record this version cannot read.
UNREADABLE = "record-unreadable"


class RecordError(ValueError):
    """A record that this version cannot read; the message says what is wrong with it."""


def read_record(kind: TypeAdapter[T], text: str) -> T:
    """The value that a JSON text describes. Raises RecordError."""
    try:
        return kind.validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RecordError(f"{where}: {first['msg']}" if where else first["msg"]) from error


def check_schema(fields: Mapping[str, str]) -> None:
    """Raises RecordError for a record of a schema that came after this version. One that names no schema is older than
    the first that had a number."""
    schema = fields.get("schema", "0")
    if not schema.isdecimal() or int(schema) > SCHEMA_VERSION:
        raise RecordError(
            f"it was written with schema {schema[:20]}, and this version of the service reads up to {SCHEMA_VERSION}"
        )
