"""People over HTTP, with a real worker behind the gateway and a small restorer in place of the network."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import numpy as np
import pytest
from people_requests import EMPTY, FACE, WAIT, Enroll, Working, restore
from pictures import file_of
from redis.asyncio import Redis
from refstar_service.jobs import JobQueue
from refstar_service.metrics.worker import WorkerMetrics
from refstar_service.people import PeopleStore
from refstar_service.settings import Settings


@pytest.fixture
def settings() -> Settings:
    return Settings(max_people=3, queue_limit=9, person_ttl=1000)


def steps(metrics: WorkerMetrics) -> dict[str, float]:
    [metric] = metrics.reference_work.collect()
    return {one.labels["step"]: one.value for one in metric.samples if one.name.endswith("_total")}


async def test_a_stored_person_costs_no_reference_work_the_second_time(
    client: httpx.AsyncClient, enroll: Enroll, working: Working
) -> None:
    async with working() as metrics:
        response = await enroll([FACE, FACE], headers=WAIT, name="Eileen")
        person = response.json()
        assert (response.status_code, person["status"], person["name"]) == (201, "ready", "Eileen")
        assert response.headers["location"] == person["links"]["self"] == f"/v1/people/{person['id']}"
        assert [(one["index"], one["used"]) for one in person["references"]] == [(1, True), (2, True)]
        assert person["error"] is None
        enrolled = steps(metrics)
        assert enrolled == {"decode": 2, "detect": 2, "encode": 2}
        for _ in range(2):
            job = (await restore(client, person["id"])).json()
            assert (job["status"], job["person"]) == ("succeeded", person["id"])
            assert [one["name"] for one in job["references"]] == ["1.jpg", "2.jpg"]
            assert job["links"]["selection"] is not None
        assert steps(metrics) == enrolled
    async with working() as metrics:  # another worker, or the same one after a restart
        for _ in range(2):
            assert (await restore(client, person["id"])).json()["status"] == "succeeded"
        assert steps(metrics) == {"fetch": 2}


async def test_a_person_answers_202_until_a_worker_has_looked(
    client: httpx.AsyncClient, enroll: Enroll, working: Working, redis: Redis
) -> None:
    response = await enroll()
    assert (response.status_code, response.json()["status"]) == (202, "preparing")
    path, tag = response.headers["location"], response.headers["etag"]
    assert int(response.headers["retry-after"]) > 0
    early = await restore(client, response.json()["id"])
    assert (early.status_code, early.json()["type"]) == (409, "/problems/person-not-ready")
    assert "retry-after" in early.headers
    assert (await client.get(path, headers={"If-None-Match": tag})).status_code == 304
    hidden = await client.get(f"/v1/restorations/{response.json()['id']}")
    assert (hidden.status_code, hidden.json()["type"]) == (404, "/problems/unknown-restoration")
    await client.delete(f"/v1/restorations/{response.json()['id']}")
    assert (await client.get("/v1/restorations")).json()["restorations"] == []
    async with working():
        ready = await client.get(path, headers=WAIT)
    assert ready.json()["status"] == "ready"
    assert "retry-after" not in ready.headers
    assert not await redis.keys(f"*blob:{ready.json()['id']}/*"), "the photographs are not kept"


async def test_a_person_of_whom_no_use_can_be_made_cannot_be_named(
    client: httpx.AsyncClient, enroll: Enroll, working: Working
) -> None:
    async with working():
        response = await enroll([FACE, EMPTY], headers=WAIT)
    person = response.json()
    assert (response.status_code, person["status"]) == (201, "failed")
    assert person["error"]["type"] == "/problems/reference-without-face"
    assert person["error"]["request_id"] == person["request_id"] == response.headers["x-request-id"]
    assert [one["reason"] for one in person["references"]] == [None, "reference-without-face"]
    named = await restore(client, person["id"])
    assert (named.status_code, named.json()["type"]) == (409, "/problems/person-failed")
    assert named.json()["failure"]["type"] == "/problems/reference-without-face"


async def test_delete_removes_everything_and_may_be_repeated(
    client: httpx.AsyncClient, enroll: Enroll, working: Working, redis: Redis
) -> None:
    async with working():
        ready = (await enroll(headers=WAIT)).json()
    waiting = (await enroll()).json()
    assert await redis.keys("*blob*")
    for person in (ready, waiting):
        for _ in range(2):
            assert (await client.delete(person["links"]["self"])).status_code == 204
        response = await client.get(person["links"]["self"])
        assert (response.status_code, response.json()["type"]) == (404, "/problems/unknown-person")
    left = {key.decode() for key in await redis.keys("*")}
    assert not [key for key in left if ready["id"] in key or waiting["id"] in key or "blob" in key]
    assert not [key for key in left if ":people:" in key or ":person:" in key]
    gone = await restore(client, ready["id"])
    assert (gone.status_code, gone.json()["type"]) == (404, "/problems/unknown-person")
    assert (await client.delete("/v1/people/a%20b")).status_code == 204


async def test_a_restoration_whose_person_is_deleted_while_it_waits_fails(
    client: httpx.AsyncClient, enroll: Enroll, working: Working
) -> None:
    async with working():
        person = (await enroll(headers=WAIT)).json()
    job = (
        await client.post(
            "/v1/restorations", data={"person": person["id"]}, files={"image": ("photo.jpg", FACE)}
        )
    ).json()
    await client.delete(person["links"]["self"])
    async with working():
        ended = (await client.get(job["links"]["self"], headers=WAIT)).json()
    assert (ended["status"], ended["error"]["type"]) == ("failed", "/problems/person-gone")


async def test_people_are_listed_page_by_page(client: httpx.AsyncClient, enroll: Enroll) -> None:
    made = [(await enroll(name=name)).json()["id"] for name in "abc"]
    first = await client.get("/v1/people", params={"limit": 2})
    assert [one["id"] for one in first.json()["people"]] == made[:0:-1]
    assert first.headers["link"] == f'<{first.json()["next"]}>; rel="next"'
    last = (await client.get(first.json()["next"])).json()
    assert ([one["id"] for one in last["people"]], last["next"]) == (made[:1], None)
    full = await enroll()
    assert (full.status_code, full.json()["type"], full.json()["limit"]) == (
        409,
        "/problems/too-many-people",
        3,
    )


@pytest.mark.parametrize(
    ("references", "fields", "status", "slug"),
    [
        ([], {}, 422, "missing-references"),
        ([FACE] * 9, {}, 422, "too-many-references"),
        ([b"no picture"], {}, 422, "not-an-image"),
        ([file_of(np.zeros((64, 64, 3), np.uint8), ".png")[:60]], {}, 422, "image-truncated"),
        ([file_of(np.zeros((40, 80, 3), np.uint8), ".jpg")], {"aligned": "true"}, 422, "not-square"),
        ([FACE], {"aligned": "maybe"}, 422, "invalid-parameter"),
        ([FACE], {"aligned": "true", "reference_face": "largest"}, 422, "invalid-parameter"),
        ([FACE], {"nmae": "x"}, 422, "unknown-parameter"),
        ([FACE], {"name": "x" * 81}, 422, "invalid-parameter"),
    ],
)
async def test_what_cannot_be_a_person_is_refused_and_leaves_nothing(
    enroll: Enroll,
    refused: Callable[..., Awaitable[dict[str, Any]]],
    references: list[bytes],
    fields: dict[str, str],
    status: int,
    slug: str,
) -> None:
    await refused(await enroll(references, **fields), status, slug)


async def test_an_image_is_no_field_of_a_person(
    client: httpx.AsyncClient, refused: Callable[..., Awaitable[dict[str, Any]]]
) -> None:
    response = await client.post("/v1/people", files={"image": ("a.jpg", FACE)})
    await refused(response, 422, "unknown-parameter")


async def test_a_restoration_names_either_a_person_or_references(
    client: httpx.AsyncClient, enroll: Enroll, working: Working, models: dict[str, Any]
) -> None:
    async with working():
        person = (await enroll([FACE] * 3, headers=WAIT)).json()["id"]
    both = await client.post(
        "/v1/restorations",
        data={"person": person},
        files=[("image", ("a.jpg", FACE)), ("references", ("r.jpg", FACE))],
    )
    assert (both.status_code, both.json()["type"]) == (422, "/problems/invalid-parameter")
    largest = await restore(client, person, reference_face="largest")
    assert (largest.status_code, largest.json()["type"]) == (422, "/problems/invalid-parameter")
    few = await client.post(  # takes two: a worker uses the best of the three
        "/v1/restorations", data={"person": person, "model": "ented"}, files={"image": ("photo.jpg", FACE)}
    )
    assert few.status_code == 202
    unknown = await restore(client, "nobody")
    assert (unknown.status_code, unknown.json()["type"]) == (404, "/problems/unknown-person")


async def test_a_restoration_names_several_people(
    client: httpx.AsyncClient, enroll: Enroll, working: Working
) -> None:
    async with working():
        ada, ben = [(await enroll([FACE] * 2, headers=WAIT)).json()["id"] for _ in range(2)]
        job = (await restore(client, ada, ben)).json()
        alone = (await restore(client, ben)).json()
    assert (job["status"], job["person"], job["people"]) == ("succeeded", None, [ada, ben])
    assert (alone["person"], alone["people"]) == (ben, [ben])
    assert [(one["index"], one["person"]) for one in job["references"]] == [
        (1, ada),
        (2, ada),
        (3, ben),
        (4, ben),
    ]
    [face] = job["faces"]
    assert (face["person"], face["selected"]) == (ada, [0.2, 0.2, 0, 0])
    assert alone["faces"][0]["person"] == ben


@pytest.mark.parametrize(
    ("people", "model", "slug", "says"),
    [
        ("ada ada", "", "invalid-parameter", "named twice"),
        ("ada nobody", "", "unknown-person", "nobody"),
        ("ada new", "", "person-not-ready", "new"),
        ("ada " * 9, "", "invalid-parameter", "at most 8 times"),
        ("ada ben cem", "ented", "invalid-parameter", "at most 2 people"),
    ],
)
async def test_people_who_cannot_be_named_together_are_refused(
    client: httpx.AsyncClient,
    enroll: Enroll,
    working: Working,
    redis: Redis,
    people: str,
    model: str,
    slug: str,
    says: str,
) -> None:
    ids = {"nobody": "nobody"}
    async with working():
        for name in ("ada", "ben", "cem")[: 3 if model else 1]:
            ids[name] = (await enroll(headers=WAIT)).json()["id"]
    if "new" in people:
        ids["new"] = (await enroll()).json()["id"]
    answer = await restore(
        client, *(ids[name] for name in people.split()), **{"model": model} if model else {}
    )
    assert answer.json()["type"] == f"/problems/{slug}"
    assert ids.get(says, says) in answer.json()["detail"]


async def test_the_same_idempotency_key_stores_one_person(
    client: httpx.AsyncClient, enroll: Enroll, queue: JobQueue
) -> None:
    headers = {"Idempotency-Key": '"once"'}
    first, again = await enroll(headers=headers), await enroll(headers=headers)
    assert first.json()["id"] == again.json()["id"]
    assert sum((await queue.depth()).values()) == 1
    assert len((await client.get("/v1/people")).json()["people"]) == 1


async def test_a_full_queue_stores_nobody(
    enroll: Enroll, queue: JobQueue, refused: Callable[..., Awaitable[dict[str, Any]]]
) -> None:
    queue.limit = 0
    await refused(await enroll(), 429, "queue-full")


async def test_an_enrollment_whose_job_is_lost_ends_as_failed(
    client: httpx.AsyncClient, enroll: Enroll, queue: JobQueue
) -> None:
    person = (await enroll()).json()
    for attempt in range(queue.max_attempts + 1):
        dying = JobQueue(queue._redis, stale_after=0.01, worker=f"dying-{attempt}")
        await dying.start(await dying.reserve(1))
        await asyncio.sleep(0.02)
    ended = (await client.get(person["links"]["self"])).json()
    assert (ended["status"], ended["error"]["type"]) == ("failed", "/problems/worker-lost")


async def test_everybody_has_people_of_their_own(
    redis: Redis, enroll: Enroll, client: httpx.AsyncClient
) -> None:
    mine = (await enroll()).json()
    people = PeopleStore(redis)
    other = await people.add("other", owner="somebody", name="", request_id="", limit=9, ttl=60)
    path = f"/v1/people/{other.id}"
    assert (await client.get(path)).json()["detail"].replace(other.id, "x") == (
        await client.get("/v1/people/nobody")
    ).json()["detail"].replace("nobody", "x")
    assert (await client.delete(path)).status_code == 204
    assert await people.get("other") == other
    assert (await restore(client, other.id)).status_code == 404
    assert [one["id"] for one in (await client.get("/v1/people")).json()["people"]] == [mine["id"]]
