"""A request that hangs for so long that its repetition takes over undoes nothing of what that one makes."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from refstar_service.access import ApiKey, Limits
from refstar_service.access.redis import RedisKeys
from refstar_service.access.repeats import Repeats, Settlement
from refstar_service.blobs import BlobsUnavailableError, RedisBlobs
from refstar_service.gateway.http.upload_slots import UploadSlots
from refstar_service.jobs import Job, JobQueue, JobStatus, PersonReference, RestoreRequest, StoredFile
from refstar_service.people import PeopleStore, PersonStatus
from refstar_service.restoration.report import ReferenceReport

Post = Callable[..., Awaitable[httpx.Response]]
KEY = {"Idempotency-Key": '"8e03978e-40d5-43e8-bc93-6894a57f9324"'}
PATIENCE = 0.2  # seconds after which a request is taken to be gone


class HangingStore:
    """The first blob that is put hangs until `go_on`, and then cannot be stored if the store `fails`; `hold` makes the
    next one wait too."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun, self.go_on = asyncio.Event(), asyncio.Event()
        self.hold: asyncio.Event | None = None
        self.puts, self.fails = 0, True
        self._put = RedisBlobs.put
        monkeypatch.setattr(RedisBlobs, "put", lambda *arguments: self.put(*arguments))

    async def put(self, blobs: RedisBlobs, key: str, data: bytes, ttl_seconds: float) -> None:
        self.puts += 1
        if self.puts == 1:
            self.begun.set()
            await self.go_on.wait()
            if self.fails:
                raise BlobsUnavailableError("stale file handle")
        if self.hold is not None:
            await self.hold.wait()
        await self._put(blobs, key, data, ttl_seconds)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> HangingStore:
    return HangingStore(monkeypatch)


@pytest.fixture(autouse=True)
def impatient(app: FastAPI, redis: Redis) -> None:
    app.state.gateway = replace(app.state.gateway, repeats=Repeats(redis, patience=PATIENCE))


async def begin(post: Callable[[], Awaitable[httpx.Response]], store: HangingStore) -> Any:
    """The first request, which hangs; anybody may take over when this returns."""
    first = asyncio.create_task(post())
    await store.begun.wait()
    await asyncio.sleep(1.1 * PATIENCE)
    return first


async def check_whole(queue: JobQueue, redis: Redis, job_id: str) -> None:
    """The job is queued, and its picture is there."""
    job = await queue.get(job_id)
    assert job is not None
    assert job.status is JobStatus.QUEUED
    for file in job.request.uploads:
        assert await redis.exists(f"refstar:blob:{file.key}")


async def test_the_job_that_the_repetition_was_given_stays(
    post: Post, queue: JobQueue, redis: Redis, store: HangingStore
) -> None:
    first = await begin(lambda: post(headers=KEY), store)
    accepted = await post(headers=KEY)
    assert accepted.status_code == 202
    store.go_on.set()
    late = await first
    assert (late.status_code, late.json()["id"]) == (202, accepted.json()["id"])
    await check_whole(queue, redis, accepted.json()["id"])
    assert (await post(headers=KEY)).headers["idempotency-replayed"] == "true"


async def test_the_pictures_that_the_repetition_stores_stay(
    post: Post, queue: JobQueue, redis: Redis, store: HangingStore
) -> None:
    first = await begin(lambda: post(headers=KEY), store)
    await redis.set("refstar:blob:other", b"1")
    store.hold = asyncio.Event()
    second = asyncio.create_task(post(headers=KEY))
    async with asyncio.timeout(5):
        while store.puts < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    claimed = await redis.hgetall("{refstar}:stored")
    store.go_on.set()
    late = await first
    assert (late.status_code, late.json()["type"]) == (503, "/problems/storage-unavailable")
    assert await redis.hgetall("{refstar}:stored") == claimed, "its room is still kept for it"
    store.hold.set()
    accepted = await second
    assert accepted.status_code == 202
    await check_whole(queue, redis, accepted.json()["id"])


async def test_a_job_that_the_repetition_found_stays_though_the_first_request_queued_it(
    post: Post, queue: JobQueue, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit, begun, go_on = JobQueue.submit, asyncio.Event(), asyncio.Event()

    async def submit_and_lose_the_reply(self: JobQueue, *arguments: Any, **options: Any) -> Job:
        await submit(self, *arguments, **options)
        begun.set()
        await go_on.wait()
        raise RedisConnectionError("the reply got lost")

    monkeypatch.setattr(JobQueue, "submit", submit_and_lose_the_reply)
    first = asyncio.create_task(post(headers=KEY))
    await begun.wait()
    await asyncio.sleep(1.1 * PATIENCE)
    accepted = await post(headers=KEY)
    assert accepted.status_code == 202
    go_on.set()
    assert (await first).json()["id"] == accepted.json()["id"]
    await check_whole(queue, redis, accepted.json()["id"])


async def test_a_repetition_that_fails_leaves_what_the_first_request_made_after_all(
    post: Post, queue: JobQueue, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first is late, and the second is the one that the store fails."""
    put, hold = RedisBlobs.put, [asyncio.Event(), asyncio.Event()]
    begun: list[str] = []

    async def wait(self: RedisBlobs, key: str, data: bytes, ttl_seconds: float) -> None:
        begun.append(key)
        number = len(begun) - 1
        await hold[number].wait()
        if number:
            raise BlobsUnavailableError("stale file handle")
        await put(self, key, data, ttl_seconds)

    async def until(count: int) -> None:
        async with asyncio.timeout(5):
            while len(begun) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    monkeypatch.setattr(RedisBlobs, "put", wait)
    first = asyncio.create_task(post(headers=KEY))
    await until(1)
    await asyncio.sleep(1.1 * PATIENCE)
    second = asyncio.create_task(post(headers=KEY))
    await until(2)
    hold[0].set()
    accepted = await first
    assert accepted.status_code == 202
    hold[1].set()
    assert (await second).json()["id"] == accepted.json()["id"]
    await check_whole(queue, redis, accepted.json()["id"])
    assert (await post(headers=KEY)).json()["id"] == accepted.json()["id"]


async def test_pictures_that_come_when_the_job_of_the_repetition_has_ended_do_not_stay(
    post: Post, client: httpx.AsyncClient, redis: Redis, store: HangingStore
) -> None:
    store.fails = False
    first = await begin(lambda: post(headers=KEY), store)
    accepted = (await post(headers=KEY)).json()
    await client.post(accepted["links"]["cancel"])
    store.go_on.set()
    late = await first
    assert (late.json()["id"], late.json()["status"]) == (accepted["id"], "canceled")
    assert await redis.keys("*blob*") == []


async def test_a_request_that_nobody_has_taken_over_from_leaves_nothing_however_late(
    post: Post, redis: Redis, store: HangingStore
) -> None:
    first = await begin(lambda: post(headers=KEY), store)
    store.go_on.set()
    assert (await first).status_code == 503
    assert await redis.keys("*blob*") == []
    assert await redis.keys("*job:*") == []
    assert await redis.keys("*stored*") == []
    assert (await post(headers=KEY)).status_code == 202


async def test_the_person_whom_the_repetition_stored_stays(
    client: httpx.AsyncClient,
    picture: Callable[..., bytes],
    queue: JobQueue,
    redis: Redis,
    store: HangingStore,
) -> None:
    data = picture()

    def send() -> Awaitable[httpx.Response]:
        return client.post("/v1/people", files={"references": ("a.png", data)}, headers=KEY)

    first = await begin(send, store)
    store.hold = asyncio.Event()
    second = asyncio.create_task(send())
    async with asyncio.timeout(5):
        while store.puts < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    store.go_on.set()
    assert (await first).status_code == 503
    store.hold.set()
    accepted = await second
    assert accepted.status_code == 202
    person = await PeopleStore(redis).get(accepted.json()["id"])
    assert person is not None
    assert person.status is PersonStatus.PREPARING
    await check_whole(queue, redis, person.id)


async def test_the_place_among_the_unfinished_that_the_repetition_has_is_kept(
    app: FastAPI, queue: JobQueue, redis: Redis, picture: Callable[..., bytes], store: HangingStore
) -> None:
    key, token = ApiKey("ada", limits=Limits(unfinished=1)).with_token(1.0)
    await RedisKeys(redis).change("ada", lambda _: key)
    slots = UploadSlots(8)  # one key has a share of them
    app.state.gateway = replace(app.state.gateway, keys=RedisKeys(redis), upload_slots=slots)
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=20) as client:

        async def post(headers: dict[str, str]) -> httpx.Response:
            return await client.post(
                "/v1/restorations",
                data={"faces": "aligned"},
                files={"image": ("a.png", data)},
                headers=headers | {"Authorization": f"Bearer {token}"},
            )

        data = picture()
        first = await begin(lambda: post(KEY), store)
        store.hold = asyncio.Event()
        second = asyncio.create_task(post(KEY))
        async with asyncio.timeout(5):
            while store.puts < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        store.go_on.set()
        assert (await first).status_code == 503
        refused = await asyncio.wait_for(post({}), 5)
        assert (refused.status_code, refused.json()["type"]) == (429, "/problems/too-many-unfinished")
        store.hold.set()
        assert (await second).status_code == 202


@pytest.mark.parametrize("taken_over", [False, True])
async def test_a_change_ends_only_with_the_request_that_is_at_it(
    client: httpx.AsyncClient,
    picture: Callable[..., bytes],
    redis: Redis,
    store: HangingStore,
    taken_over: bool,
) -> None:
    people, data = PeopleStore(redis), picture()
    await people.add("ada", owner="", name="Ada", request_id="r", limit=9, ttl=600)
    good = ReferenceReport(1, "a.png", (3.0, 4.0, 9.0, 9.0), 0.9, 9.0, 0.6, True, None)
    crop = StoredFile("people/ada/1", "ab" * 32, "image/png", 9, "a.png")
    await people.ready("ada", [PersonReference(good, crop)], ["e"])

    def send() -> Awaitable[httpx.Response]:
        return client.patch("/v1/people/ada", files={"references": ("b.png", data)}, headers=KEY)

    first = await begin(send, store)
    if taken_over:
        assert (await send()).status_code == 202
    store.go_on.set()
    assert (await first).status_code == (202 if taken_over else 503)
    person = await people.get("ada")
    assert person is not None
    assert (person.change != "") == taken_over


async def test_a_job_that_may_be_queued_keeps_its_pictures_for_the_repetition(
    post: Post, queue: JobQueue, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis took it, went away before it answered, and cannot be asked to forget it."""
    submit = JobQueue.submit

    async def submit_and_lose_the_reply(self: JobQueue, *arguments: Any, **options: Any) -> Job:
        await submit(self, *arguments, **options)
        raise RedisConnectionError("the reply got lost")

    async def away(*_: object) -> None:
        raise RedisConnectionError("away")

    with monkeypatch.context() as lost:
        lost.setattr(JobQueue, "submit", submit_and_lose_the_reply)
        lost.setattr(JobQueue, "take_back", away)
        assert (await post(headers=KEY)).status_code == 503
    accepted = await post(headers=KEY)
    assert accepted.status_code == 202
    await check_whole(queue, redis, accepted.json()["id"])


async def test_who_was_overtaken_is_told_and_who_was_not_holds_on(redis: Redis) -> None:
    repeats = Repeats(redis, patience=PATIENCE)
    slow = await repeats.begin("", "k", "f")
    assert await repeats.keep("", "k", slow)
    await asyncio.sleep(1.1 * PATIENCE)
    assert await repeats.keep("", "k", slow)
    assert (await repeats.begin("", "k", "f")).state == "running", "it has held on"
    await asyncio.sleep(1.1 * PATIENCE)
    quick = await repeats.begin("", "k", "f")
    assert (quick.state, quick.id) == ("begun", slow.id)
    assert not await repeats.keep("", "k", slow)
    await repeats.settle("", "k", quick, Settlement.MADE)
    assert not await repeats.keep("", "k", slow)


async def test_only_who_submitted_a_job_takes_it_back(
    queue: JobQueue, request_for_jobs: RestoreRequest
) -> None:
    await queue.submit("job", request_for_jobs, holder="one")
    await queue.submit("job", request_for_jobs, holder="another")  # it was there
    left = await queue.take_back("job", "another")
    assert left == await queue.get("job")
    assert left is not None
    assert await queue.take_back("job", "one") is None
    assert await queue.get("job") is None
    assert await queue.take_back("job", "one") is None
    await queue.submit("alone", request_for_jobs)
    assert await queue.take_back("alone") is None
    assert await queue.get("alone") is None
