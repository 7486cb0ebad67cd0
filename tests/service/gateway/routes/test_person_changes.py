"""A stored person is changed over HTTP: renamed, given further references, rid of some."""

import asyncio
from collections.abc import Sequence
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from people_requests import EMPTY, FACE, WAIT, Enroll, Working, restore
from redis.asyncio import Redis
from refstar_service.jobs import EnrollRequest, JobQueue
from refstar_service.settings import Settings


@pytest.fixture
def settings() -> Settings:
    return Settings(max_people=3, queue_limit=9, person_ttl=1000, max_references=4)


async def change(
    client: httpx.AsyncClient,
    path: str,
    references: Sequence[bytes] = (),
    headers: dict[str, str] | None = None,
    **fields: Any,
) -> httpx.Response:
    files = [("references", (f"more-{number}.jpg", data)) for number, data in enumerate(references, 1)]
    # Without a file httpx would send no multipart body; a nameless one stands for "none chosen".
    return await client.patch(path, data=fields, files=files or [("references", ("", b""))], headers=headers)


def indices(person: dict[str, Any]) -> list[int]:
    return [one["index"] for one in person["references"]]


async def test_a_person_is_renamed_and_rid_of_references_at_once(
    client: httpx.AsyncClient, enroll: Enroll, working: Working, redis: Redis
) -> None:
    async with working():
        made = await enroll([FACE] * 3, headers=WAIT, name="Eileen")
    path = made.headers["location"]
    renamed = await change(client, path, name="Colonel Collins")
    assert (renamed.status_code, renamed.json()["name"]) == (200, "Colonel Collins")
    assert {**made.json(), "name": "Colonel Collins"} == renamed.json()
    removed = await change(client, path, remove=["2", "3"])
    assert (removed.status_code, indices(removed.json())) == (200, [1])
    assert (await client.get(path)).json() == removed.json()
    assert len(await redis.keys("*:blob:people/*")) == 2  # its face, and its features
    again = await change(client, path, remove=["2", "3"])
    assert (again.status_code, again.json()) == (200, removed.json())


async def test_further_references_are_looked_at_and_meanwhile_all_is_as_before(
    client: httpx.AsyncClient, enroll: Enroll, working: Working
) -> None:
    async with working():
        made = await enroll([FACE] * 2, headers=WAIT)
    path, person = made.headers["location"], made.json()["id"]
    accepted = await change(client, path, [FACE, FACE], name="Eileen", remove="1")
    assert (accepted.status_code, accepted.json()["status"]) == (202, "preparing")
    assert int(accepted.headers["retry-after"]) > 0
    assert (accepted.json()["name"], indices(accepted.json())) == ("Eileen", [1, 2])
    waiting = await client.post(
        "/v1/restorations", data={"person": person}, files={"image": ("photo.jpg", FACE)}
    )
    assert waiting.status_code == 202
    second = await change(client, path, [FACE])
    assert (second.status_code, second.json()["type"]) == (409, "/problems/person-not-ready")
    assert (await change(client, path, remove="2")).status_code == 409
    async with working():
        changed = (await client.get(path, headers=WAIT)).json()
        job = (await client.get(waiting.headers["location"], headers=WAIT)).json()
        late = (await restore(client, person)).json()
    assert (changed["status"], changed["error"], indices(changed)) == ("ready", None, [2, 3, 4])
    assert changed["expires_at"] == made.json()["expires_at"]
    assert job["status"] == "succeeded"
    assert [one["name"] for one in job["references"]] == ["1.jpg", "2.jpg"], "as when it was accepted"
    assert [one["name"] for one in late["references"]] == ["2.jpg", "more-1.jpg", "more-2.jpg"]


async def test_a_change_that_cannot_be_made_is_told_of_and_the_person_stays_ready(
    client: httpx.AsyncClient, enroll: Enroll, working: Working
) -> None:
    async with working():
        made = await enroll(headers=WAIT)
        path = made.headers["location"]
        failed = await change(client, path, [EMPTY], headers=WAIT)
        assert (failed.status_code, failed.json()["status"]) == (200, "ready")
        assert failed.json()["error"]["type"] == "/problems/reference-without-face"
        assert indices(failed.json()) == [1]
        assert (await restore(client, made.json()["id"])).json()["status"] == "succeeded"
        better = await change(client, path, [FACE], headers=WAIT)
    assert (better.json()["error"], indices(better.json())) == (None, [1, 3])


@pytest.mark.parametrize(
    ("references", "fields", "slug", "says"),
    [
        (0, {}, "invalid-parameter", "nothing is to be changed"),
        (3, {}, "too-many-references", "at most 4"),
        (0, {"remove": "3"}, "invalid-parameter", "no reference 3, but 1, 2"),
        (0, {"remove": ["1", "2"]}, "invalid-parameter", "delete the person"),
        (0, {"remove": "first"}, "invalid-parameter", "remove"),
        (0, {"remove": "0"}, "invalid-parameter", "remove"),
        (0, {"remove": ["1"] * 9}, "invalid-parameter", "at most 8 times"),
        (0, {"name": "x" * 81}, "invalid-parameter", "name"),
        (0, {"aligned": "true"}, "invalid-parameter", "send some"),
        (0, {"faces": "all"}, "unknown-parameter", "faces"),
    ],
)
async def test_what_cannot_be_a_change_is_refused_and_changes_nothing(
    client: httpx.AsyncClient,
    enroll: Enroll,
    working: Working,
    references: int,
    fields: dict[str, Any],
    slug: str,
    says: str,
) -> None:
    async with working():
        made = await enroll([FACE] * 2, headers=WAIT)
    answer = await change(client, made.headers["location"], [FACE] * references, **fields)
    assert answer.json()["type"] == f"/problems/{slug}"
    assert says in answer.json()["detail"]
    assert (await client.get(made.headers["location"])).json() == made.json()


async def test_who_is_not_there_or_of_no_use_cannot_be_changed(
    client: httpx.AsyncClient, enroll: Enroll, working: Working
) -> None:
    unknown = await change(client, "/v1/people/nobody", name="Eve")
    assert (unknown.status_code, unknown.json()["type"]) == (404, "/problems/unknown-person")
    early = await change(client, (await enroll()).headers["location"], name="Eve")
    assert (early.status_code, early.json()["type"]) == (409, "/problems/person-not-ready")
    async with working():
        failed = await enroll([EMPTY], headers=WAIT)
    answer = await change(client, failed.headers["location"], name="Eve")
    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/person-failed")


async def test_the_same_idempotency_key_changes_once(
    client: httpx.AsyncClient, enroll: Enroll, working: Working
) -> None:
    headers = WAIT | {"Idempotency-Key": '"more"'}
    async with working():
        path = (await enroll(headers=WAIT)).headers["location"]
        first = await change(client, path, [FACE], headers=headers)
        second = await change(client, path, [FACE], headers=headers)
        other = await change(client, path, name="Eve", headers=headers)
    assert indices(first.json()) == indices(second.json()) == [1, 2]
    assert second.headers["idempotency-replayed"] == "true"
    assert other.json()["type"] == "/problems/idempotency-key-reused"


async def test_a_change_that_finds_no_room_leaves_the_person_as_they_were(
    app: FastAPI, client: httpx.AsyncClient, enroll: Enroll, working: Working, redis: Redis
) -> None:
    async with working():
        made = await enroll(headers=WAIT)
    app.state.gateway.queue.limit = 0
    full = await change(client, made.headers["location"], [FACE], name="Eve")
    assert (full.status_code, full.json()["type"]) == (429, "/problems/queue-full")
    app.state.gateway.queue.limit = 9
    assert (await client.get(made.headers["location"])).json() == made.json()
    assert len(await redis.keys("*:blob:*")) == 2


async def test_a_person_who_is_deleted_during_a_change_leaves_nothing(
    client: httpx.AsyncClient, enroll: Enroll, working: Working, redis: Redis, queue: JobQueue
) -> None:
    async with working():
        path = (await enroll([FACE] * 2, headers=WAIT)).headers["location"]
    assert (await change(client, path, [FACE])).status_code == 202
    assert (await client.delete(path)).status_code == 204
    assert await redis.keys("*:blob:*") == []
    assert await redis.keys("*:person:*") == []
    assert await redis.exists("{refstar}:stored") == 0
    async with working():
        await asyncio.sleep(0.1)
    assert await redis.keys("*:blob:*") == []


async def test_a_change_whose_job_is_lost_is_over(
    client: httpx.AsyncClient, enroll: Enroll, working: Working, redis: Redis
) -> None:
    async with working():
        made = await enroll(headers=WAIT)
    path = made.headers["location"]
    await change(client, path, [FACE])
    change_id = (await redis.hget(f"{{refstar}}:person:{made.json()['id']}", "change") or b"").decode()
    await redis.delete(f"{{refstar}}:job:{change_id}", f"{{refstar}}:gone:{change_id}")
    assert (await client.get(path)).json()["status"] == "preparing", "its gateway may be about to queue it"
    await redis.hset(f"{{refstar}}:person:{made.json()['id']}", "changed_at", "1")
    lost = (await client.get(path)).json()
    assert (lost["status"], lost["error"]["type"]) == ("ready", "/problems/worker-lost")


async def test_a_person_may_be_given_so_many_references_altogether(
    client: httpx.AsyncClient, enroll: Enroll, working: Working, redis: Redis
) -> None:
    async with working():
        made = await enroll(headers=WAIT)
    await redis.hset(f"{{refstar}}:person:{made.json()['id']}", "numbered", "200")
    answer = await change(client, made.headers["location"], [FACE])
    assert (answer.status_code, answer.json()["limit"]) == (422, 200)


async def test_a_change_without_files_may_be_json(
    client: httpx.AsyncClient, enroll: Enroll, working: Working
) -> None:
    async with working():
        made = await enroll([FACE] * 2, headers=WAIT)
    path = made.headers["location"]
    changed = await client.patch(path, json={"name": "Eve", "remove": [1]})
    assert (changed.status_code, changed.json()["name"], indices(changed.json())) == (200, "Eve", [2])
    for document in ({"remove": ["1"]}, {"remove": 1}, {"remove": [True]}, {"references": []}):
        refused = await client.patch(path, json=document)
        assert (refused.status_code, refused.json()["type"]) == (422, "/problems/invalid-parameter")
    group = await client.post(
        "/v1/restorations", json={"image_url": "https://example.org/a.jpg", "person": [made.json()["id"]]}
    )
    assert group.json()["people"] == [made.json()["id"]]


async def test_further_references_may_be_named_by_url(
    client: httpx.AsyncClient, enroll: Enroll, working: Working, queue: JobQueue
) -> None:
    async with working():
        path = (await enroll(headers=WAIT)).headers["location"]
    accepted = await client.patch(path, json={"reference_urls": ["https://example.org/a.jpg"] * 3})
    assert (accepted.status_code, accepted.json()["status"]) == (202, "preparing")
    [held] = await queue.start(await queue.reserve(1))
    assert held is not None
    request = held.request
    assert isinstance(request, EnrollRequest)
    assert (request.person, request.first, len(request.references)) == (path.split("/")[-1], 2, 3)
