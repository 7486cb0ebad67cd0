"""Records of earlier versions of the service, and of later ones: what cannot be read is one job's trouble."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import stored_records
from redis.asyncio import Redis
from refstar_service.access.redis import RedisKeys
from refstar_service.jobs import Job, JobQueue, JobStatus, RestoreRequest, WorkerInfo
from refstar_service.people import PeopleStore, PersonStatus
from stored_records import FAILURE, KEY, OWNER, REFERENCES, REQUESTS, SUCCESS, dump_records, load_records

FORMS = sorted(stored_records.FOLDER.glob("*.json"))
Change = Callable[[Any], Any]


def as_it_is(value: Any) -> Any:
    return value


def with_more(value: Any) -> Any:
    """Members that a later version might add, in every object."""
    if isinstance(value, list):
        return [with_more(one) for one in value]
    if not isinstance(value, dict):
        return value
    if set(value) & {"restore", "enroll"}:
        return {task: with_more(request) for task, request in value.items()}
    more = {name: with_more(member) for name, member in value.items()}
    return more | ({} if set(value) <= {"infer"} else {"later": "something"})


def read(form: Path) -> dict[str, Any]:
    records: dict[str, Any] = json.loads(form.read_text())
    return records


async def jobs_by_id(queue: JobQueue) -> dict[str, Job]:
    return {job.id: job for job in (await queue.jobs_of(OWNER, limit=50)).jobs}


async def test_the_newest_form_is_what_is_written_today(redis: Redis) -> None:
    await stored_records.write_records(redis)
    written = stored_records.shape_of(await dump_records(redis))
    assert written == stored_records.shape_of(read(FORMS[-1])), (
        "records have taken a new form: keep these files and write the next one (tests/stored_records.py)"
    )


@pytest.mark.parametrize("change", [as_it_is, with_more])
@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.stem)
async def test_every_form_is_shown_and_worked_on(
    form: Path, change: Change, redis: Redis, queue: JobQueue
) -> None:
    await load_records(redis, read(form), change)
    asked = {name: one for name, one in REQUESTS.items() if f"{{refstar}}:job:{name}" in read(form)}
    assert asked.keys() >= {"plain", "naming", "enrolling"}
    found = await jobs_by_id(queue)
    assert {name: job.status for name, job in found.items()} == {
        "succeeded": JobStatus.SUCCEEDED,
        "failed": JobStatus.FAILED,
        "expired": JobStatus.EXPIRED,
        **{name: JobStatus.QUEUED for name, one in asked.items() if isinstance(one, RestoreRequest)},
    }
    succeeded, failed = found["succeeded"], found["failed"]
    assert (succeeded.result, succeeded.faces, succeeded.references, succeeded.timings) == (
        SUCCESS.result,
        SUCCESS.faces,
        SUCCESS.references,
        SUCCESS.timings,
    )
    assert failed.failure == FAILURE.failure
    assert isinstance(found["expired"].request, RestoreRequest)

    begun = {one.job_id: one for one in await queue.start(await queue.reserve(9)) if one}
    assert {name: one.request for name, one in begun.items()} == asked
    assert await queue.finish([(begun["plain"], SUCCESS)]) == [True]
    assert (await jobs_by_id(queue))["plain"].result == SUCCESS.result
    await queue.release([begun["naming"]])

    people = {one.id: one for one in (await PeopleStore(redis).of_owner(OWNER, limit=9)).people}
    assert people["known"].references == REFERENCES
    assert (people["known"].encoders, people["known"].status) == (("e1",), PersonStatus.READY)
    changing = "changing" in asked
    assert (people["known"].change, people["known"].numbered) == (("changing", 3) if changing else ("", 2))
    assert people["refused"].failure is not None
    assert people["refused"].failure.code == "several-faces"
    assert people["enrolling"].status is PersonStatus.PREPARING

    if "{refstar}:keys" in read(form):  # the first forms were kept without one
        assert await RedisKeys(redis).of_token(KEY.tokens[0].id) == KEY


async def test_only_what_an_older_reader_would_get_wrong_is_written_with_a_later_schema(redis: Redis) -> None:
    await stored_records.write_records(redis)
    schemas = {
        key.decode().split(":")[-1]: int(await redis.hget(key, "schema") or 0)
        for pattern in ("{refstar}:job:*", "{refstar}:person:*")
        async for key in redis.scan_iter(pattern)
    }
    assert {name for name, schema in schemas.items() if schema != 1} == {"fetching", "group", "changing"}
    assert schemas["fetching"] == schemas["group"] == schemas["changing"] == 2


async def test_what_is_not_known_here_is_kept(redis: Redis, queue: JobQueue) -> None:
    await load_records(redis, read(FORMS[-1]), with_more)
    before = await redis.hget("{refstar}:job:plain", "request")
    for started in await queue.start(await queue.reserve(9)):
        if started is not None and started.job_id == "plain":
            await queue.finish([(started, SUCCESS)])
    assert await redis.hget("{refstar}:job:plain", "request") == before
    assert await redis.hget("{refstar}:job:plain", "later") == b"something"
    assert await PeopleStore(redis).ready("known", REFERENCES, ["e2"])
    assert await redis.hget("{refstar}:person:known", "later") == b"something"


@pytest.mark.parametrize("missing", ["attempts", "created_at", "priority", "version", "outline", "schema"])
async def test_what_a_job_lacks_has_its_default(missing: str, redis: Redis, queue: JobQueue) -> None:
    await load_records(redis, read(FORMS[-1]))
    await redis.hdel("{refstar}:job:plain", missing)
    assert (await jobs_by_id(queue))["plain"].status is JobStatus.QUEUED
    begun = {one.job_id: one for one in await queue.start(await queue.reserve(9)) if one}
    assert await queue.finish([(begun["plain"], SUCCESS)]) == [True]
    assert (await jobs_by_id(queue))["plain"].status is JobStatus.SUCCEEDED


DAMAGE = {
    "of a later schema": {"schema": "999"},
    "without a request": {"request": ""},
    "with half a request": {"request": '{"restore":{"image"'},
    "for a task that is not known": {"request": '{"colorize":{}}'},
    "with a knob of another kind": {
        "request": json.dumps({"restore": {"image": {"key": "k"}, "knobs": {"faces": "smart"}}})
    },
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
async def test_a_job_that_cannot_be_read_fails_alone(
    damage: dict[str, str], redis: Redis, queue: JobQueue
) -> None:
    await load_records(redis, read(FORMS[-1]))
    await redis.hset("{refstar}:job:naming", mapping=damage)
    assert len(await jobs_by_id(queue)) == 7

    begun = {one.job_id: one for one in await queue.start(await queue.reserve(9)) if one}
    assert set(begun) == {"plain", "fetching", "group", "enrolling", "changing"}
    found = await jobs_by_id(queue)
    assert len(found) == 7
    assert found["naming"].status is JobStatus.FAILED
    assert found["naming"].failure is not None
    assert found["naming"].failure.code == "record-unreadable"
    assert await queue.finish([(begun["plain"], SUCCESS)]) == [True]
    assert await queue.reserve(9, block=0) == [], "nothing of it is left in the line"
    assert await queue.delete("naming") is not None


async def test_an_outcome_that_cannot_be_read_is_a_failure_and_the_list_goes_on(
    redis: Redis, queue: JobQueue
) -> None:
    await load_records(redis, read(FORMS[-1]))
    await redis.hset("{refstar}:job:succeeded", "outcome", '{"status":"marvelous"}')
    await redis.set("{refstar}:gone:expired", "not JSON")
    found = await jobs_by_id(queue)
    assert set(found) == {"succeeded", "failed", "plain", "naming", "fetching", "group"}
    assert (found["succeeded"].status, found["succeeded"].result) == (JobStatus.FAILED, None)
    assert await queue.get("expired") is None


async def test_a_person_who_cannot_be_read_has_failed_and_the_others_are_listed(redis: Redis) -> None:
    await load_records(redis, read(FORMS[-1]))
    await redis.hset("{refstar}:person:known", "references", "[{}]")
    people = {one.id: one for one in (await PeopleStore(redis).of_owner(OWNER, limit=9)).people}
    assert len(people) == 3
    assert people["known"].status is PersonStatus.FAILED
    assert people["known"].failure is not None
    assert people["known"].failure.code == "record-unreadable"


async def test_a_worker_that_cannot_be_made_out_does_not_hide_the_others(
    redis: Redis, queue: JobQueue
) -> None:
    here = WorkerInfo("here", ("refstar",), "cpu", 1.0)
    await queue.announce_worker(here, 60)
    for name, document in (("newer", '{"name":"newer","models":["m"],"later":1}'), ("odd", '{"models":7}')):
        await redis.sadd("{refstar}:workers", name)
        await redis.set(f"{{refstar}}:worker:{name}", document)
    assert await queue.workers() == [here, WorkerInfo("newer", ("m",))]
