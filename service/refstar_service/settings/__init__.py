"""Every setting of the service: its unit, its default and its trade-offs.

Read from the environment with the prefix `REFSTAR_` (`REFSTAR_PORT=9000`); the command line overrides single
values. Both processes read the same class, so a gateway and a worker that share an environment agree. Its groups are
modules here; nothing but `Settings` reads one alone.
"""

from refstar_service.settings.settings import PREFIX, READ_BY_OTHERS, Settings, find_unknown_settings

__all__ = ["PREFIX", "READ_BY_OTHERS", "Settings", "find_unknown_settings"]
