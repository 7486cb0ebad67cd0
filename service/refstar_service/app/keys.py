"""`refstar keys`: what operators do with API keys. A token is shown when it is made, and never again."""

import time
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, replace
from typing import Literal

from refstar_service.access import ApiKey, KeyStore, Limits
from refstar_service.access.key import new_webhook_secret
from refstar_service.app.access_policy import key_store
from refstar_service.redis.client import connect
from refstar_service.settings import Settings

__all__ = ["Command", "new_webhook_secret", "run_command"]


@dataclass(frozen=True)
class Command:
    """`token`: id of one token to revoke, None for the whole key. `may_prioritize`: None leaves it as
    it is. `drop_old`: of `secret`, keep the newest only."""

    action: Literal["add", "list", "revoke", "limit", "secret"]
    name: str = ""
    token: str | None = None
    limits: Limits | None = None
    may_prioritize: bool | None = None
    drop_old: bool = False


async def run_command(settings: Settings, redis_url: str | None, command: Command) -> list[str]:
    """Lines to print; raises ValueError or RuntimeError for what cannot be done."""
    async with AsyncExitStack() as stack:
        redis = None
        if redis_url is not None:
            redis = connect(redis_url)
            stack.push_async_callback(redis.aclose)
        keys = key_store(settings, redis)
        if keys is None:
            raise RuntimeError("open mode has no API keys; set REFSTAR_ACCESS=file or REFSTAR_ACCESS=redis")
        match command.action:
            case "add":
                return await _add(keys, command)
            case "list":
                return await _list(keys)
            case "revoke":
                return await _revoke(keys, command.name, command.token)
            case "limit":
                return await _limit(keys, command)
            case "secret":
                return await _secret(keys, command.name, command.drop_old)


async def _add(keys: KeyStore, command: Command) -> list[str]:
    lines: list[str] = []

    def add(key: ApiKey | None) -> ApiKey:
        new = key is None
        key = key or ApiKey(command.name, webhook_secrets=(new_webhook_secret(),))
        key, token = _permit(key, command).with_token(time.time())
        lines[:] = [f"token: {token}"]
        if new:
            lines.append(f"webhook secret: {key.webhook_secrets[0]}")
        lines.append("Save it now: only its hash is stored.")
        return key

    await keys.change(command.name, add)
    return lines


async def _list(keys: KeyStore) -> list[str]:
    lines = []
    for name in await keys.names():
        key = await keys.get(name)
        if key is None:
            continue  # revoked a moment ago
        limits = ", ".join(
            f"{what} {number}" for what, number in asdict(key.limits).items() if number is not None
        )
        more = ", may use priority=high" if key.may_prioritize else ""
        lines.append(f"{name}  {limits.replace('_', ' ') or 'default limits'}{more}")
        for token in key.tokens:
            made = time.strftime("%Y-%m-%d %H:%M", time.gmtime(token.created_at))
            lines.append(f"  token {token.id}, created {made} UTC")
    return lines or ["There are no keys, so every request is refused with 401."]


async def _revoke(keys: KeyStore, name: str, token: str | None) -> list[str]:
    def revoke(key: ApiKey | None) -> ApiKey | None:
        known = _require_key(key, name)
        return known.without_token(token) if token else None

    await keys.change(name, revoke)
    return [f"Revoked {'token ' + token + ' of ' if token else ''}key {name}."]


async def _limit(keys: KeyStore, command: Command) -> list[str]:
    await keys.change(command.name, lambda key: _permit(_require_key(key, command.name), command))
    return await _list(keys)


def _permit(key: ApiKey, command: Command) -> ApiKey:
    """With what the command says of limits and permissions, and the rest as it is."""
    limits = (command.limits or Limits()).or_else(key.limits)
    may_prioritize = key.may_prioritize if command.may_prioritize is None else command.may_prioritize
    return replace(key, limits=limits, may_prioritize=may_prioritize)


async def _secret(keys: KeyStore, name: str, drop_old: bool) -> list[str]:
    if drop_old:
        await keys.change(name, lambda key: _require_key(key, name).with_newest_webhook_secret_only())
        return [f"Webhooks of {name} are now signed with the newest secret only."]
    key = await keys.change(name, lambda key: _require_key(key, name).with_webhook_secret())
    assert key is not None
    return [
        f"webhook secret: {key.webhook_secrets[0]}",
        "Webhooks are also signed with the previous secret until you run `--drop-old`.",
    ]


def _require_key(key: ApiKey | None, name: str) -> ApiKey:
    if key is None:
        raise ValueError(f"no such key: {name[:80]!r}; `refstar keys list` shows all keys")
    return key
