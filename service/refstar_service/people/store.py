"""The records of people in Redis."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
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
_AMEND = load_script("people.amend")
_CHANGE = load_script("people.change")
_DELETE = load_script("people.delete")
_LIST = load_script("people.list")

_OF_CHANGES = ("failure", "change", "changed_at")  # fields that the next change clears


class PeopleFullError(Exception):
    """The owner has `count` people already; nothing was stored."""

    def __init__(self, count: int) -> None:
        super().__init__(f"there are {count} people, and no more are admitted")
        self.count = count


@dataclass(frozen=True)
class Amendment:
    """What becomes of a person who is ready. `change`: the job that looks at further references from now on; "": none
    does any more. `numbered`: from now on; 0: as it is. `failure`: why a change was not made."""

    name: str | None = None
    remove: frozenset[int] = frozenset()
    add: tuple[PersonReference, ...] = ()
    change: str = ""
    numbered: int = 0
    failure: JobFailure | None = None


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

    async def amend(
        self, person_id: str, decide: Callable[[Person], Amendment | None]
    ) -> tuple[Person, Person] | None:
        """Change the person in one step, by what `decide` says of them as they are; it is asked again if somebody else
        came between. None of it: nothing to change. Returns the person before and after; None if the person is gone."""
        while True:
            fields = read_fields(await self._redis.hgetall(self._keys.person(person_id)))
            if not fields:
                return None
            before = Person.from_fields(person_id, fields)
            amendment = decide(before)
            if amendment is None:
                return before, before
            references = fields.get("references", "")
            changes, stored = _write_amendment(amendment, before, references)
            values = [person_id, references, before.change, amendment.change, stored]
            values += [part for change in changes.items() for part in change]
            reply = await self._scripts.run(_AMEND, [self._keys.person(person_id)], values)
            if reply == 0:
                return None
            after = {name: value for name, value in fields.items() if name not in _OF_CHANGES} | changes
            if reply > 0:
                more = {"change": amendment.change} if amendment.change else {}
                return before, Person.from_fields(person_id, after | more)

    async def extend(
        self, person_id: str, change: str, references: tuple[PersonReference, ...], remove: Collection[int]
    ) -> Person | None:
        """The references that the job `change` looked at are the person's from now on, and those with the numbers
        `remove` are not. Returns the person; None if they are gone or do not wait for that job any more."""
        added = {one.report.index for one in references}

        def decide(person: Person) -> Amendment | None:
            return Amendment(remove=frozenset(remove), add=references) if person.change == change else None

        amended = await self.amend(person_id, decide)
        # After a lost reply it finds itself done.
        there = amended is not None and {one.report.index for one in amended[1].references} >= added
        return amended[1] if amended is not None and there else None

    async def end_change(self, person_id: str, change: str, failure: JobFailure | None) -> None:
        """Nothing came of the job `change`: the person stays as they were, and says why."""

        def decide(person: Person) -> Amendment | None:
            return Amendment(failure=failure) if person.change == change else None

        await self.amend(person_id, decide)

    async def will_store(self, person_id: str, encoder: str) -> bool:
        """To be said before features are stored, so that a delete finds them. False if the person is gone."""
        return await self._set(person_id, "", {ENCODER + encoder: "1"})

    async def present(self, person_ids: Sequence[str]) -> dict[str, frozenset[int] | None]:
        """Those of these who are not gone, with the numbers of their references that are left; None: all are."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for person_id in person_ids:
                pipe.hmget(self._keys.person(person_id), "status", "kept")
            found = zip(person_ids, await pipe.execute(), strict=True)
        return {
            person_id: None if kept is None else frozenset(map(int, read_text(kept).split()))
            for person_id, (status, kept) in found
            if status is not None
        }

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


def _write_amendment(
    amendment: Amendment, before: Person, references: str
) -> tuple[dict[str, str], int | str]:
    """The fields that change, and the bytes that are stored from then on ("": as many as before). What another version
    wrote of a reference that stays is left as it is."""
    changes = {"numbered": str(amendment.numbered or before.numbered)}
    if amendment.name is not None:
        changes["name"] = amendment.name
    if amendment.failure is not None:
        changes["failure"] = json.dumps(asdict(amendment.failure), separators=(",", ":"))
    if not (amendment.remove or amendment.add):
        return changes, ""
    kept = [one for one in json.loads(references) if one["report"]["index"] not in amendment.remove]
    kept += [asdict(one) for one in amendment.add]
    changes["references"] = json.dumps(kept, separators=(",", ":"))
    changes["kept"] = " ".join(str(one["report"]["index"]) for one in kept)
    return changes, BYTES_A_REFERENCE * sum(one["crop"] is not None for one in kept)
