"""The Lua scripts of a job's life, each with the prelude in front, and the replies of Redis as text."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from typing import Any

from redis.asyncio import Redis
from redis.commands.core import AsyncScript

Call = tuple[Sequence[str], Sequence[Any]]  # KEYS, ARGV


class Scripts:
    def __init__(self, redis: Redis) -> None:
        def script(name: str) -> AsyncScript:
            return redis.register_script(f"{_source('prelude')}\n{_source(name)}")

        self.claim = script("claim")
        self.submit = script("submit")
        self.list = script("list")
        self.positions = script("positions")
        self.cancel = script("cancel")
        self.delete = script("delete")
        self.reserve = script("reserve")
        self.start = script("start")
        self.heartbeat = script("heartbeat")
        self.finish = script("finish")
        self.release = script("release")
        self.survey = script("survey")
        self.housekeeping = script("housekeeping")


def text(reply: Any) -> str:
    """A reply as text, whether or not the client decodes responses."""
    return reply.decode() if isinstance(reply, bytes) else str(reply)


def fields(reply: Any) -> dict[str, str]:
    """The reply to HGETALL: flat out of a script, a mapping out of the client."""
    if isinstance(reply, dict):
        return {text(name): text(value) for name, value in reply.items()}
    return {text(reply[i]): text(reply[i + 1]) for i in range(0, len(reply), 2)}


def _source(name: str) -> str:
    return resources.files(__package__).joinpath("scripts", f"{name}.lua").read_text(encoding="utf-8")
