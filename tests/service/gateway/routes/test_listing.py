"""`GET /v1/restorations`: pages, statuses, and cursors that nobody gave out."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

import httpx
import pytest
from refstar_service.jobs import JobQueue

Post = Callable[..., Awaitable[httpx.Response]]
Worker = Callable[..., AbstractAsyncContextManager[None]]


async def test_the_list_goes_page_by_page_from_the_newest_to_the_end(
    client: httpx.AsyncClient, post: Post
) -> None:
    made = [(await post()).json()["id"] for _ in range(5)]
    response = await client.get("/v1/restorations", params={"limit": 2})
    assert response.headers["cache-control"] == "private, no-cache"
    seen, body = [], response.json()
    while True:
        assert len(body["restorations"]) <= 2
        seen += [one["id"] for one in body["restorations"]]
        if body["next"] is None:
            assert "link" not in response.headers
            break
        assert response.headers["link"] == f'<{body["next"]}>; rel="next"'
        response = await client.get(body["next"])
        body = response.json()
    assert seen == made[::-1]


async def test_an_entry_is_the_restoration_as_its_own_address_shows_it(
    client: httpx.AsyncClient, post: Post, worker: Worker
) -> None:
    async with worker():
        done = (await post(headers={"Prefer": "wait=10"})).json()
    waiting = [(await post(priority=priority)).json() for priority in ("normal", "normal", "high")]
    listed = (await client.get("/v1/restorations")).json()["restorations"]
    for entry in listed:
        assert entry == (await client.get(entry["links"]["self"])).json()
    assert [entry["queue_position"] for entry in listed] == [0, 2, 1, None]
    assert [entry["id"] for entry in listed] == [*(one["id"] for one in reversed(waiting)), done["id"]]


async def test_a_status_chooses(client: httpx.AsyncClient, post: Post, worker: Worker) -> None:
    async with worker():
        done = (await post(headers={"Prefer": "wait=10"})).json()["id"]
    canceled = (await post()).json()
    await client.post(canceled["links"]["cancel"])
    for status, expected in (("succeeded", [done]), ("canceled", [canceled["id"]]), ("running", [])):
        body = (await client.get("/v1/restorations", params={"status": status, "limit": 1})).json()
        assert [one["id"] for one in body["restorations"]] == expected
        if body["next"]:
            assert f"status={status}" in body["next"]


async def test_what_was_deleted_is_no_longer_listed(client: httpx.AsyncClient, post: Post) -> None:
    kept, gone = (await post()).json(), (await post()).json()
    await client.delete(gone["links"]["self"])
    body = (await client.get("/v1/restorations")).json()
    assert [one["id"] for one in body["restorations"]] == [kept["id"]]


@pytest.mark.parametrize(
    "query",
    [
        {"limit": "0"},
        {"limit": "101"},
        {"limit": "many"},
        {"status": "lost"},
        {"cursor": "no cursor"},
        {"cursor": "MS4yLjM"},
        {"cursor": "a" * 201},
        {"cursor": "LWluZi5h"},  # -inf.a: what Redis would take for a moment
        {"cursor": "é"},
    ],
)
async def test_a_bad_query_is_a_problem_and_never_reaches_redis(
    client: httpx.AsyncClient, refused: Callable[..., Awaitable[object]], query: dict[str, str]
) -> None:
    await refused(await client.get("/v1/restorations", params=query), 422, "invalid-parameter")


async def test_a_cursor_of_a_job_that_is_gone_still_works(
    client: httpx.AsyncClient, post: Post, queue: JobQueue
) -> None:
    ids = [(await post()).json()["id"] for _ in range(3)]
    onward = (await client.get("/v1/restorations", params={"limit": 1})).json()["next"]
    await queue.delete(ids[2])
    assert [one["id"] for one in (await client.get(onward)).json()["restorations"]] == [ids[1]]
