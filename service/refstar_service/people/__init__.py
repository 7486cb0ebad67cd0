"""People whose references are stored once and used by many restorations: records, and names of blobs."""

from refstar_service.people.person import (
    BYTES_A_REFERENCE,
    MOST_NUMBERS,
    Person,
    PersonStatus,
    blob_keys,
    crop_key,
    features_key,
)
from refstar_service.people.store import Amendment, PeopleFullError, PeoplePage, PeopleStore

__all__ = [
    "BYTES_A_REFERENCE",
    "MOST_NUMBERS",
    "Amendment",
    "PeopleFullError",
    "PeoplePage",
    "PeopleStore",
    "Person",
    "PersonStatus",
    "blob_keys",
    "crop_key",
    "features_key",
]
