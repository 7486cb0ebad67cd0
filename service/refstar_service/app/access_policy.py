"""Who may come in, by the settings: where the keys are, and what a gateway refuses and says at its start."""

import logging
from collections.abc import Mapping

from redis.asyncio import Redis

from refstar_service.access import KeyStore
from refstar_service.access.file import FileKeys
from refstar_service.access.redis import RedisKeys
from refstar_service.settings import Settings, find_unknown_settings

log = logging.getLogger("refstar")


def key_store(settings: Settings, redis: Redis | None) -> KeyStore | None:
    """Where the API keys of these settings are; None in open mode. `redis` is needed for keys in Redis only."""
    if settings.access == "file":
        return FileKeys(settings.key_file)
    if settings.access == "redis" and redis is not None:
        return RedisKeys(redis)
    return None


def check_open_mode(settings: Settings, environment: Mapping[str, str]) -> None:
    """Raises RuntimeError for a gateway without keys that would let in other machines, unless it was told to twice and
    no name in `environment` looks like a setting that was misspelled: it may have been the one that asks for keys."""
    if settings.access != "open" or not settings.listens_beyond_this_machine:
        return
    reached = f"without API keys, the gateway serves this machine only, but other machines can reach {settings.host}"
    misspelled = [
        f"{name} (did you mean {meant}?)"
        for name, meant in find_unknown_settings(environment).items()
        if meant
    ]
    if misspelled:
        raise RuntimeError(
            f"{reached}, and these are not settings: {', '.join(misspelled)}. Correct them first"
        )
    said_open = "access" in settings.model_fields_set
    if not (settings.open_to_network and said_open):
        missing = [
            *([] if said_open else ["REFSTAR_ACCESS=open"]),
            *([] if settings.open_to_network else ["REFSTAR_OPEN_TO_NETWORK=true"]),
        ]
        raise RuntimeError(
            f"{reached}. Set REFSTAR_ACCESS=redis (or file) and create a key with `refstar keys add NAME`; or, if "
            "everybody who can reach this address may see every picture, say so twice: set also "
            f"{' and '.join(missing)}"
        )


def log_unknown_settings(environment: Mapping[str, str]) -> None:
    """One warning for each name in `environment` that looks like a setting and is none."""
    for name, meant in find_unknown_settings(environment).items():
        log.warning("%s is not a setting%s", name, f"; did you mean {meant}?" if meant else "")


async def log_access(settings: Settings) -> None:
    """One line in the log, at every start. Raises KeyFileError for a file of keys that cannot be read."""
    if settings.access == "file" and not await FileKeys(settings.key_file).names():
        log.warning(
            "%s has no API keys yet, so nobody may use the service; `refstar keys add NAME` makes one",
            settings.key_file,
        )
    elif settings.access != "open":
        log.info("API keys are stored in %s", "Redis" if settings.access == "redis" else settings.key_file)
    elif settings.listens_beyond_this_machine:
        log.warning(
            "open mode: no API keys are required, and everybody who can reach %s may use the service",
            settings.host,
        )
    else:
        log.warning("open mode: no API keys are required, and everybody at this machine may use the service")
