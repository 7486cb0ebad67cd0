"""Lua scripts: files in the `lua` folder of the room that owns the keys they touch.

A script whose comment says `-- uses jobs.record, redis.clock` has the functions of `jobs/lua/record.lua` and
`redis/lua/clock.lua` in front of it: within one step, a room calls another's functions and touches none of its keys.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from functools import cache
from importlib import resources

_USES = re.compile(r"^-- uses (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Script:
    """`sha`: what Redis calls it by, once it was loaded."""

    source: str
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sha", hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest())


@cache
def load_script(name: str) -> Script:
    """`room.name`: that file, with everything that it uses in front, each once."""
    sources: dict[str, str] = {}
    _collect(name, sources)
    return Script("\n".join(sources.values()))


def used_files(source: str) -> list[str]:
    """What a file of Lua says that it uses, as `room.name`."""
    return [name.strip() for names in _USES.findall(source) for name in names.split(",")]


def _collect(name: str, sources: dict[str, str]) -> None:
    room, file = name.split(".")
    path = resources.files(f"refstar_service.{room}").joinpath("lua", f"{file}.lua")
    source = path.read_text(encoding="utf-8")
    for used in used_files(source):
        if used not in sources:
            _collect(used, sources)
    sources[name] = source
