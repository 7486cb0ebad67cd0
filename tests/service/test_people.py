"""Records of people: added once, changed only while they are there, listed, counted, gone."""

import asyncio
import json
from dataclasses import asdict, replace

import pytest
from redis.asyncio import Redis
from refstar_service.jobs import JobFailure, Outcome, PersonReference, StoredFile
from refstar_service.people import (
    BYTES_A_REFERENCE,
    Amendment,
    PeopleFullError,
    PeopleStore,
    Person,
    PersonStatus,
    crop_key,
    features_key,
)
from refstar_service.restoration.report import ReferenceReport


@pytest.fixture
def people(redis: Redis) -> PeopleStore:
    return PeopleStore(redis)


@pytest.fixture
def references(success: Outcome) -> tuple[PersonReference, ...]:
    good, bad = success.references
    crop = StoredFile("people/p/crop-1", "cd" * 32, "image/png", 99, "a.png")
    return PersonReference(good, crop), PersonReference(bad, None)


async def add(people: PeopleStore, name: str, owner: str = "a", limit: int = 10, ttl: float = 60) -> Person:
    return await people.add(name, owner=owner, name="Ada", request_id="r-1", limit=limit, ttl=ttl)


async def test_a_person_is_added_once_and_then_prepared(
    people: PeopleStore, references: tuple[PersonReference, ...]
) -> None:
    added = await add(people, "p")
    assert (added.status, added.name, added.owner) == (PersonStatus.PREPARING, "Ada", "a")
    assert added.expires_at - added.created_at == pytest.approx(60, abs=0.01)
    assert await people.ready("p", references, ["e1", "e2"])
    found = await people.get("p")
    assert found is not None
    assert found == replace(
        added, status=PersonStatus.READY, references=references, encoders=found.encoders, numbered=2
    )
    assert set(found.encoders) == {"e1", "e2"}
    assert await add(people, "p") == found, "adding again changes nothing"
    assert found.stored.references == references


async def test_a_person_who_failed_says_why_for_a_while(people: PeopleStore) -> None:
    await add(people, "p")
    assert await people.fail("p", JobFailure("reference-without-face", "no face"), ttl=0.1)
    found = await people.get("p")
    assert found is not None
    assert (found.status, found.failure) == (
        PersonStatus.FAILED,
        JobFailure("reference-without-face", "no face"),
    )
    await asyncio.sleep(0.12)
    assert await people.get("p") is None


async def test_what_is_gone_stays_gone(
    people: PeopleStore, redis: Redis, references: tuple[PersonReference, ...]
) -> None:
    added = await add(people, "p")
    assert await people.delete("p") == added
    assert await people.delete("p") is None
    assert not await people.ready("p", references, ["e"])
    assert not await people.fail("p", JobFailure("x", "y"), ttl=9)
    assert not await people.will_store("p", "e")
    assert await redis.keys("*") == []


async def test_all_that_may_be_stored_of_a_person_is_named(people: PeopleStore) -> None:
    await add(people, "p")
    assert await people.will_store("p", "later")
    found = await people.get("p")
    assert found is not None
    keys = found.blob_keys
    assert len(keys) == 16
    assert features_key("p", 8, "later") in keys


async def test_people_are_listed_by_owner_newest_first(people: PeopleStore) -> None:
    for name, owner in (("1", "a"), ("2", "b"), ("3", "a"), ("4", "a")):
        await add(people, name, owner)
    page = await people.of_owner("a", limit=2)
    assert [one.id for one in page.people] == ["4", "3"]
    page = await people.of_owner("a", limit=2, after=page.rest)
    assert ([one.id for one in page.people], page.rest) == (["1"], None)
    await people.delete("1")
    assert [one.id for one in (await people.of_owner("a", limit=9)).people] == ["4", "3"]


async def test_an_owner_has_so_many_people_and_those_who_are_gone_do_not_count(
    people: PeopleStore, redis: Redis
) -> None:
    await add(people, "short", limit=2, ttl=0.05)
    await add(people, "long", limit=2)
    with pytest.raises(PeopleFullError, match="2 people"):
        await add(people, "more", limit=2)
    assert await people.get("more") is None
    assert (await add(people, "other", "b", limit=2)).owner == "b"
    await asyncio.sleep(0.06)
    assert await add(people, "more", limit=2)
    assert await redis.zcard("{refstar}:people:a") == 2


async def test_nothing_is_left_of_an_owner_when_the_last_person_has_expired(
    people: PeopleStore, redis: Redis
) -> None:
    await add(people, "p", ttl=0.05)
    assert await people.present(["p", "q"]) == {"p": None}
    await asyncio.sleep(0.07)
    assert await people.present(["p", "q"]) == {}
    assert await people.present([]) == {}
    assert await redis.keys("*") == []


def numbered(*numbers: int) -> tuple[PersonReference, ...]:
    report = ReferenceReport(1, "a.png", None, None, None, 0.5, True, None)
    crop = StoredFile("", "cd" * 32, "image/png", 99, "a.png")
    return tuple(
        PersonReference(replace(report, index=number), replace(crop, key=crop_key("p", number)))
        for number in numbers
    )


def numbers(person: Person) -> list[int]:
    return [one.report.index for one in person.references]


async def ready(people: PeopleStore, count: int) -> None:
    await add(people, "p")
    assert await people.ready("p", numbered(*range(1, count + 1)), ["e"])


async def read(people: PeopleStore) -> Person:
    found = await people.get("p")
    assert found is not None
    return found


async def begin(people: PeopleStore, change: str, count: int) -> Person:
    amended = await people.amend(
        "p", lambda person: Amendment(change=change, numbered=person.numbered + count)
    )
    assert amended is not None
    return amended[1]


async def test_references_keep_their_numbers_and_none_is_given_twice(people: PeopleStore) -> None:
    await ready(people, 3)
    amended = await people.amend("p", lambda person: Amendment(name="Eve", remove=frozenset({3})))
    assert amended is not None
    before, after = amended
    assert (numbers(before), numbers(after), after.name) == ([1, 2, 3], [1, 2], "Eve")
    assert await read(people) == after
    assert await people.present(["p"]) == {"p": frozenset({1, 2})}
    begun = await begin(people, "c1", 2)
    assert (begun.change, begun.numbered, numbers(begun)) == ("c1", 5, [1, 2])
    assert begun.changed_at == 0  # as it is known here; the record has the clock of Redis
    assert (await read(people)).changed_at > begun.created_at
    ended = await people.extend("p", "c1", numbered(4, 5), (1,))
    assert ended == await read(people)
    assert ended is not None
    assert (numbers(ended), ended.change, ended.numbered) == ([2, 4, 5], "", 5)
    assert features_key("p", 5, "e") in ended.blob_keys


async def test_what_is_stored_of_a_changed_person_is_held(people: PeopleStore, redis: Redis) -> None:
    await ready(people, 2)
    await begin(people, "c1", 1)
    await people.extend("p", "c1", numbered(3), ())
    held = b"%d 0 a people"
    assert await redis.hget("{refstar}:stored", "p") == held % (3 * BYTES_A_REFERENCE)
    await people.amend("p", lambda person: Amendment(remove=frozenset({1, 2})))
    assert await redis.hget("{refstar}:stored", "p") == held % BYTES_A_REFERENCE


async def test_a_change_that_comes_to_nothing_leaves_the_person_ready(people: PeopleStore) -> None:
    await ready(people, 1)
    await begin(people, "c1", 1)
    await people.end_change("p", "c1", JobFailure("several-faces", "two"))
    after = await read(people)
    assert (after.status, after.change, numbers(after)) == (PersonStatus.READY, "", [1])
    assert after.failure == JobFailure("several-faces", "two")
    await begin(people, "c2", 1)
    assert (await read(people)).failure is None


async def test_only_the_change_that_is_waited_for_counts(people: PeopleStore) -> None:
    await ready(people, 1)
    await begin(people, "c2", 1)
    assert await people.extend("p", "c1", numbered(2), ()) is None
    await people.end_change("p", "c1", JobFailure("x", "y"))
    assert (await read(people)).change == "c2"
    await people.delete("p")
    assert await people.extend("p", "c2", numbered(2), ()) is None
    assert await people.amend("p", lambda person: Amendment(name="Eve")) is None
    assert await people.get("p") is None


async def test_a_change_whose_reply_got_lost_is_made_once(people: PeopleStore) -> None:
    await ready(people, 1)
    await begin(people, "c1", 1)
    first = await people.extend("p", "c1", numbered(2), ())
    assert await people.extend("p", "c1", numbered(2), ()) == first
    assert numbers(await read(people)) == [1, 2]


async def test_of_changes_at_the_same_time_each_sees_what_the_other_did(people: PeopleStore) -> None:
    await ready(people, 8)
    removals = [
        people.amend("p", lambda person, number=number: Amendment(remove=frozenset({number})))
        for number in range(2, 8)
    ]
    await asyncio.gather(*removals)
    assert numbers(await read(people)) == [1, 8]


async def test_what_a_later_version_says_of_a_reference_is_kept(people: PeopleStore, redis: Redis) -> None:
    await ready(people, 2)
    later = [asdict(one) | {"later": "something"} for one in numbered(1, 2)]
    await redis.hset("{refstar}:person:p", "references", json.dumps(later))
    await people.amend("p", lambda person: Amendment(remove=frozenset({1})))
    assert json.loads(await redis.hget("{refstar}:person:p", "references") or "") == later[1:]
