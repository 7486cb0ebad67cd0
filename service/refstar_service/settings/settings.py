"""All settings in one class, and names that look like one and are none."""

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

from pydantic_settings import BaseSettings, SettingsConfigDict

from refstar_service.settings.gateway import GatewaySettings
from refstar_service.settings.group import KIB, MIB
from refstar_service.settings.models import ModelSettings
from refstar_service.settings.outgoing import OutgoingSettings
from refstar_service.settings.people import PeopleSettings
from refstar_service.settings.queue import QueueSettings
from refstar_service.settings.storage import StorageSettings
from refstar_service.settings.worker import WorkerSettings

PREFIX = "REFSTAR_"

STORAGE_BYTES = {"redis": 4 * KIB * MIB, "directory": 16 * KIB * MIB, "s3": 64 * KIB * MIB}

#: Names with the prefix that others read: REFSTAR_DATA tells refstar-model and the tests where photographs are, the
#: other two tell clients where a service is and who they are.
READ_BY_OTHERS = frozenset({"REFSTAR_DATA", "REFSTAR_URL", "REFSTAR_API_KEY"})


# Pydantic collects fields from the last base to the first, so this is the order of docs/settings.md from its end.
class Settings(
    WorkerSettings,
    QueueSettings,
    PeopleSettings,
    OutgoingSettings,
    GatewaySettings,
    StorageSettings,
    ModelSettings,
    BaseSettings,
):
    """All settings, checked once at start; and what follows from settings of several groups."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, extra="forbid", defer_build=False
    )

    # ---- logs

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe level that is logged. `debug` adds health probes and scrapes."""

    log_json: bool = False
    """Log one JSON object per line, for log collectors, instead of text."""

    @property
    def storage_limit(self) -> int:
        """What `storage_bytes` says, or its default; not more than an embedded Redis can hold."""
        limit = self.storage_bytes or STORAGE_BYTES[self.store]
        if self.store == "redis" and self.redis_url is None:
            return min(limit, int(self.embedded_redis_memory_mb * MIB * self.redis_memory_share))
        return limit

    @property
    def key_file(self) -> Path:
        """The file that `access=file` uses."""
        return self.keys_file or self.data_dir / "keys.json"


def find_unknown_settings(environment: Mapping[str, str]) -> dict[str, str | None]:
    """Names in `environment` that look like settings and are none, each with the setting it may have meant.

    Meant for a warning at start, not for an error: Kubernetes adds `REFSTAR_..._SERVICE_HOST` and the like.
    """
    known = [name.upper() for name in Settings.model_fields]
    strange = sorted(name for name in environment.keys() - READ_BY_OTHERS if name.startswith(PREFIX))
    given = (name.removeprefix(PREFIX) for name in strange)
    near = {name: get_close_matches(name, known, n=1, cutoff=0.75) for name in given if name not in known}
    return {PREFIX + name: PREFIX + matches[0] if matches else None for name, matches in near.items()}
