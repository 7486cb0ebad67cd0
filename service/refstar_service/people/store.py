"""The records of people in Redis."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from redis.asyncio import Redis

from refstar_service.jobs.job import JobFailure
from refstar_service.jobs.listing import Place
from refstar_service.jobs.request import PersonReference
from refstar_service.people.person import BYTES_A_REFERENCE, ENCODER, Person, PersonStatus
from refstar_service.redis.keys import PLAIN_SCHEMA, Keys
from refstar_service.redis.replies import read_fields, read_text
from refstar_service.redis.runner import ScriptRunner
from refstar_service.redis.script import load_script

_ADD = load_script("people.add")
_CHANGE = load_script("people.change")
_DELETE = load_script("people.delete")
_LIST = load_script("people.list")


class PeopleFullError(Exception):
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
        self._keys = Keys(prefix)
        self._scripts = ScriptRunner(redis)

    async def add(
        self, person_id: str, *, owner: str, name: str, request_id: str, limit: int, ttl: float
    ) -> Person:
        """A person who is yet to be prepared; one that is there already is returned as it stands.

        Raises PeopleFullError when the owner has `limit` people. `ttl`: seconds until everything of the person is gone.
        """
        values = [person_id, limit, ttl, owner, name, request_id, PLAIN_SCHEMA]
        reply = await self._scripts.run(_ADD, [self._keys.person(person_id)], values)
        if isinstance(reply, int):
            raise PeopleFullError(reply)
        return Person.from_fields(person_id, read_fields(reply))

    async def get(self, person_id: str) -> Person | None:
        found = read_fields(await self._redis.hgetall(self._keys.person(person_id)))
        return Person.from_fields(person_id, found) if found else None

    async def ready(
        self, person_id: str, references: Sequence[PersonReference], encoders: Sequence[str]
    ) -> bool:
        """The references have been looked at and what is of use is stored. False if the person is gone: then delete
        what was stored."""
        described = json.dumps([asdict(reference) for reference in references], separators=(",", ":"))
        changes = {"status": PersonStatus.READY, "references": described}
        changes |= {ENCODER + encoder: "1" for encoder in encoders}
        kept = sum(reference.crop is not None for reference in references)
        return await self._set(person_id, "", changes, stored=kept * BYTES_A_REFERENCE)

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
                pipe.exists(self._keys.person(person_id))
            return {one for one, there in zip(person_ids, await pipe.execute(), strict=True) if there}

    async def delete(self, person_id: str) -> Person | None:
        """Forget the person. Returns the last state; the blobs are the caller's to delete."""
        found = read_fields(await self._scripts.run(_DELETE, [self._keys.person(person_id)], [person_id]))
        return Person.from_fields(person_id, found) if found else None

    async def of_owner(self, owner: str, *, limit: int, after: Place | None = None) -> PeoplePage:
        """The owner's people, newest first."""
        score, person_id = (after.moment, after.id) if after else ("+inf", "")
        index = self._keys.people_of(owner)
        found, rest = await self._scripts.run(_LIST, [index], [score, person_id, limit])
        people = tuple(Person.from_fields(read_text(one), read_fields(row)) for one, row in found)
        return PeoplePage(people, Place(read_text(rest[0]), read_text(rest[1])) if rest else None)

    async def _set(
        self, person_id: str, ttl: float | str, changes: Mapping[str, str], stored: int | str = ""
    ) -> bool:
        values = [person_id, ttl, stored, *(part for change in changes.items() for part in change)]
        return bool(await self._scripts.run(_CHANGE, [self._keys.person(person_id)], values))
