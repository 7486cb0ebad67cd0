"""Settings of stored people."""

from pydantic import Field

from refstar_service.settings.group import SettingsGroup


class PeopleSettings(SettingsGroup):
    """How many are stored, and for how long."""

    # ---- people

    person_ttl: int = Field(2_592_000, ge=60)
    """Seconds that a stored person is kept (default: 30 days). Longer saves storing people again, but keeps their
    faces longer."""

    max_people: int = Field(1000, ge=1)
    """Maximum number of people stored per API key, or in total in open mode; fewer if those would not fit into half of
    `storage_bytes`, at 4 MiB for each of `max_references`: 256 people with 16 GiB."""
