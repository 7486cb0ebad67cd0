"""The schema of Redis, read from where `refstar_service.redis.keys` draws it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from refstar_service.redis import keys


@dataclass(frozen=True)
class Entry:
    """`kind` as Redis's TYPE says it, or "channel"."""

    room: str
    pattern: str
    kind: str

    @property
    def head(self) -> str:
        """What comes before the first part that differs from key to key."""
        return self.pattern.split("<")[0].rstrip(":")

    def fits(self, key: str) -> bool:
        fixed = [re.escape(part) for part in re.split(r"<[a-z]+>", self.pattern)]
        return re.fullmatch("[^:]*".join(fixed), key) is not None


def _read_schema() -> list[Entry]:
    entries, room = [], ""
    for line in (keys.__doc__ or "").splitlines():
        if re.fullmatch(r"[a-z]+", line):
            room = line
        elif found := re.match(r" {4}(\S*refstar\S+) +(\w+) ", line):
            entries.append(Entry(room, *found.groups()))
    return entries


SCHEMA = _read_schema()


def owner_of(head: str) -> str:
    """The room whose keys begin so."""
    (room,) = {entry.room for entry in SCHEMA if entry.head == head}
    return room


def entry_of(key: str) -> Entry:
    (entry,) = [entry for entry in SCHEMA if entry.fits(key)]
    return entry
