"""People whose references are stored once and used by many restorations: records, and names of blobs."""

from refstar_service.people.person import (
    BYTES_A_REFERENCE,
    Person,
    PersonStatus,
    blob_keys,
    crop_key,
    features_key,
)
from refstar_service.people.store import PeopleFullError, PeoplePage, PeopleStore

__all__ = [
    "BYTES_A_REFERENCE",
    "PeopleFullError",
    "PeoplePage",
    "PeopleStore",
    "Person",
    "PersonStatus",
    "blob_keys",
    "crop_key",
    "features_key",
]
