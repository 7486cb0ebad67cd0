"""Who may come in, by the settings: where the keys are, and what a gateway refuses and says at its start."""

import logging

from redis.asyncio import Redis

from refstar_service.access import KeyStore
from refstar_service.access.file import FileKeys
from refstar_service.access.redis import RedisKeys
from refstar_service.settings import Settings

log = logging.getLogger("refstar")


def key_store(settings: Settings, redis: Redis | None) -> KeyStore | None:
    """Where the API keys of these settings are; None in open mode. `redis` is needed for keys in Redis only."""
    if settings.access == "file":
        return FileKeys(settings.key_file)
    if settings.access == "redis" and redis is not None:
        return RedisKeys(redis)
    return None


def check_open_mode(settings: Settings) -> None:
    """Raises RuntimeError for a gateway without keys that would let in other machines unless told to."""
    if settings.access == "open" and settings.listens_beyond_this_machine and not settings.open_to_network:
        raise RuntimeError(
            f"without API keys, the gateway serves this machine only, but other machines can reach {settings.host}. "
            "Set REFSTAR_ACCESS=redis (or file) and create a key with `refstar keys add NAME`; or, if everybody who "
            "can reach this address may see every picture, set REFSTAR_OPEN_TO_NETWORK=true"
        )


def log_access(settings: Settings) -> None:
    """One line in the log, at every start."""
    if settings.access != "open":
        log.info("API keys are stored in %s", "Redis" if settings.access == "redis" else settings.key_file)
    elif settings.listens_beyond_this_machine:
        log.warning(
            "open mode: no API keys are required, and everybody who can reach %s may use the service",
            settings.host,
        )
    else:
        log.warning("open mode: no API keys are required, and everybody at this machine may use the service")
