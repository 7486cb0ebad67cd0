"""The Lua scripts of a job's life, each with the prelude in front, and the replies of Redis as text."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

Call = tuple[Sequence[str], Sequence[Any]]  # KEYS, ARGV


@dataclass(frozen=True)
class Script:
    """`sha`: what Redis calls it by, once it was loaded."""

    source: str
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sha", hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest())

    def command(self, call: Call) -> tuple[Any, ...]:
        """What runs it, if it is loaded; else Redis says NOSCRIPT."""
        keys, values = call
        return ("EVALSHA", self.sha, len(keys), *keys, *values)


class Scripts:
    def __init__(self) -> None:
        self.claim = _script("claim")
        self.submit = _script("submit")
        self.list = _script("list")
        self.positions = _script("positions")
        self.cancel = _script("cancel")
        self.delete = _script("delete")
        self.reserve = _script("reserve")
        self.start = _script("start")
        self.heartbeat = _script("heartbeat")
        self.finish = _script("finish")
        self.release = _script("release")
        self.survey = _script("survey")
        self.housekeeping = _script("housekeeping")


def text(reply: Any) -> str:
    """A reply as text, whether or not the client decodes responses."""
    return reply.decode() if isinstance(reply, bytes) else str(reply)


def fields(reply: Any) -> dict[str, str]:
    """The reply to HGETALL: flat out of a script, a mapping out of the client."""
    if isinstance(reply, dict):
        return {text(name): text(value) for name, value in reply.items()}
    return {text(reply[i]): text(reply[i + 1]) for i in range(0, len(reply), 2)}


def _script(name: str) -> Script:
    return Script(f"{_source('prelude')}\n{_source(name)}")


@cache
def _source(name: str) -> str:
    return (
        resources.files("refstar_service.jobs").joinpath("scripts", f"{name}.lua").read_text(encoding="utf-8")
    )
