"""Records of people: added once, changed only while they are there, listed, counted, gone."""

import asyncio
from dataclasses import replace

import pytest
from redis.asyncio import Redis
from refstar_service.jobs import JobFailure, Outcome, PersonReference, StoredFile
from refstar_service.people import PeopleFullError, PeopleStore, Person, PersonStatus, blob_keys, features_key


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
    assert found == replace(added, status=PersonStatus.READY, references=references, encoders=found.encoders)
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
    keys = blob_keys("p", found.encoders)
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
    assert await people.present(["p", "q"]) == {"p"}
    await asyncio.sleep(0.07)
    assert await people.present(["p", "q"]) == set()
    assert await people.present([]) == set()
    assert await redis.keys("*") == []
