"""The records of people in Redis. Keys, with the hash tag of the jobs:

{refstar}:person:<id>      hash  owner, name, request_id, status, created_at, expires_at, references (JSON),
                                 failure (JSON), encoder:<sha256> for each encoder whose features are stored
{refstar}:people:<owner>   zset  ids of an owner's people, by the microsecond they were added
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import resources

from redis.asyncio import Redis
from redis.commands.core import AsyncScript

from refstar_service.jobs.job import JobFailure
from refstar_service.jobs.listing import Place
from refstar_service.jobs.request import PersonReference
from refstar_service.people.person import ENCODER, Person, PersonStatus
from refstar_service.redis.scripting import fields, text


class PeopleFull(Exception):  # noqa: N818
    """The owner has `count` people already; nothing was stored."""

    def __init__(self, count: int) -> None:
        super().__init__(f"there are {count} people, and no more are admitted")
        self.count = count


@dataclass(frozen=True)
class PeoplePage:
    """`rest`: where to go on, None if there is no more."""

    people: tuple[Person, ...]
    rest: Place | None


class PeopleStore:
    """What gateways and workers know of people. Every change is one script, and what is gone stays gone: nothing but
    `add` makes a record. Errors are those of redis-py."""

    def __init__(self, redis: Redis, prefix: str = "refstar") -> None:
        self._redis = redis
        self._people = f"{{{prefix}}}:person:"
        self._indexes = f"{{{prefix}}}:people:"
        self._add = _script(redis, "add")
        self._change = _script(redis, "change")
        self._delete = _script(redis, "delete")
        self._list = _script(redis, "list")

    async def add(
        self, person_id: str, *, owner: str, name: str, request_id: str, limit: int, ttl: float
    ) -> Person:
        """A person who is yet to be prepared; one that is there already is returned as it stands. Raises PeopleFull
        when the owner has `limit` people. `ttl`: seconds until everything of the person is gone."""
        keys = [self._people + person_id, self._indexes + owner]
        values: list[str | float] = [person_id, limit, ttl, owner, name, request_id, self._people]
        reply = await self._add(keys, values)
        if isinstance(reply, int):
            raise PeopleFull(reply)
        return Person.from_fields(person_id, fields(reply))

    async def get(self, person_id: str) -> Person | None:
        found = fields(await self._redis.hgetall(self._people + person_id))
        return Person.from_fields(person_id, found) if found else None

    async def ready(
        self, person_id: str, references: Sequence[PersonReference], encoders: Sequence[str]
    ) -> bool:
        """The references have been looked at and what is of use is stored. False if the person is gone: then delete
        what was stored."""
        described = json.dumps([asdict(reference) for reference in references], separators=(",", ":"))
        changes = {"status": PersonStatus.READY, "references": described}
        return await self._set(person_id, "", changes | {ENCODER + encoder: "1" for encoder in encoders})

    async def fail(
        self,
        person_id: str,
        failure: JobFailure,
        references: Sequence[PersonReference] = (),
        *,
        ttl: float,
    ) -> bool:
        """No use can be made of the references; the record stays for `ttl` seconds to say so. False if it is gone."""
        described = json.dumps([asdict(reference) for reference in references], separators=(",", ":"))
        reason = json.dumps(asdict(failure), separators=(",", ":"))
        changes = {"status": PersonStatus.FAILED, "references": described, "failure": reason}
        return await self._set(person_id, ttl, changes)

    async def will_store(self, person_id: str, encoder: str) -> bool:
        """To be said before features are stored, so that a delete finds them. False if the person is gone."""
        return await self._set(person_id, "", {ENCODER + encoder: "1"})

    async def present(self, person_ids: Sequence[str]) -> set[str]:
        """Those of these who are not gone."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for person_id in person_ids:
                pipe.exists(self._people + person_id)
            return {one for one, there in zip(person_ids, await pipe.execute(), strict=True) if there}

    async def delete(self, person_id: str) -> Person | None:
        """Forget the person. Returns the last state; the blobs are the caller's to delete."""
        found = fields(await self._delete([self._people + person_id], [person_id, self._indexes]))
        return Person.from_fields(person_id, found) if found else None

    async def of_owner(self, owner: str, *, limit: int, after: Place | None = None) -> PeoplePage:
        """The owner's people, newest first."""
        score, person_id = (after.moment, after.id) if after else ("+inf", "")
        values: list[str | float] = [score, person_id, limit, self._people]
        found, rest = await self._list([self._indexes + owner], values)
        people = tuple(Person.from_fields(text(one), fields(row)) for one, row in found)
        return PeoplePage(people, Place(text(rest[0]), text(rest[1])) if rest else None)

    async def _set(self, person_id: str, ttl: float | str, changes: Mapping[str, str]) -> bool:
        values = [ttl, *(part for change in changes.items() for part in change)]
        return bool(await self._change([self._people + person_id], values))


def _script(redis: Redis, name: str) -> AsyncScript:
    source = resources.files(__package__).joinpath("scripts", f"{name}.lua").read_text(encoding="utf-8")
    return redis.register_script(source)
