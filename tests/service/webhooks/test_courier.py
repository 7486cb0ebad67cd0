"""The courier: every notice that is owed arrives, signed, at least once, until it is refused or given up."""

import asyncio
from time import time
from typing import Any

import pytest
from owed_notices import SECRET, nothing_owed, outcomes, tried
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis
from refstar_service.access.key import new_webhook_secret
from refstar_service.jobs import JobQueue, Outcome, RestoreRequest
from refstar_service.webhooks.courier import AT_ONCE_OF_ONE_OWNER, SCHEDULE
from refstar_service.webhooks.notices import LOOKED_AT, Notices
from webhook_receiver import Listen, status


async def test_the_end_of_a_job_is_told_and_signed(
    ended: Any, courier: Any, listen: Listen, success: Outcome, notices: Notices, redis: Redis
) -> None:
    receiver = await listen()
    await ended("one", success, receiver.url)
    async with courier(secrets=(new_webhook_secret(), SECRET)):
        (got,) = await receiver.got(1)
        await nothing_owed(notices, redis)
    assert got.signed_by(SECRET)
    assert not got.signed_by(new_webhook_secret())
    assert got.headers["webhook-id"] == "msg_one"
    assert abs(int(got.headers["webhook-timestamp"]) - time()) < 5
    assert got.headers["content-type"] == "application/json"
    assert len(got.body) < 20_000
    event = got.event
    assert event["type"] == "restoration.succeeded"
    assert event["timestamp"] == event["data"]["finished_at"]
    assert event["data"]["id"] == "one"
    assert event["data"]["links"]["image"] == "/v1/restorations/one/image"
    assert event["data"]["error"] is None


async def test_failures_and_cancellations_are_told_too(
    ended: Any,
    courier: Any,
    listen: Listen,
    failure: Outcome,
    queue: JobQueue,
    request_for_jobs: RestoreRequest,
) -> None:
    receiver = await listen()
    await ended("bad", failure, receiver.url)
    await queue.submit("stopped", request_for_jobs, webhook=receiver.url)
    await queue.cancel("stopped")
    await queue.submit("silent", request_for_jobs)
    await queue.cancel("silent")
    async with courier():
        events = {got.event["data"]["id"]: got.event for got in await receiver.got(2)}
        await asyncio.sleep(0.1)
    assert events["bad"]["type"] == "restoration.failed"
    assert events["bad"]["data"]["error"] == {
        "type": "/problems/image-undecodable",
        "detail": "not this one",
    }
    assert events["stopped"]["type"] == "restoration.canceled"
    assert len(receiver.received) == 2


async def test_a_lost_worker_is_told(queue: JobQueue, request_for_jobs: RestoreRequest, redis: Redis) -> None:
    queue.max_attempts = 0
    await queue.submit("lost", request_for_jobs, webhook="https://hooks.example/")
    assert await queue.start(await queue.reserve(1)) == [None]
    assert await redis.hget("{refstar}:notice:lost", "status") == b"failed"


@pytest.mark.parametrize("answer", [status(500), status(404), status(301, "Location: /"), "HTTP/1.1 garbage"])
async def test_everything_but_2xx_is_tried_again_with_the_same_id_and_body(
    ended: Any,
    courier: Any,
    listen: Listen,
    success: Outcome,
    notices: Notices,
    redis: Redis,
    registry: CollectorRegistry,
    answer: str,
) -> None:
    receiver = await listen(answer, answer, status(202))
    await ended("one", success, receiver.url)
    async with courier():
        first, second, third = await receiver.got(3)
        await nothing_owed(notices, redis)
    assert first.body == second.body == third.body
    assert {got.headers["webhook-id"] for got in receiver.received} == {"msg_one"}
    assert all(got.signed_by(SECRET) for got in receiver.received)
    assert outcomes(registry) == {"failed": 2, "delivered": 1}


async def test_after_the_last_attempt_it_is_given_up(
    ended: Any,
    courier: Any,
    listen: Listen,
    success: Outcome,
    notices: Notices,
    redis: Redis,
    registry: CollectorRegistry,
) -> None:
    receiver = await listen(status(500))
    await ended("one", success, receiver.url)
    async with courier():
        await nothing_owed(notices, redis)
    assert len(receiver.received) == 10
    assert outcomes(registry) == {"failed": 9, "given_up": 1}


def test_the_schedule_is_the_published_one() -> None:
    assert SCHEDULE == (5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)


@pytest.mark.parametrize(("headers", "least", "most"), [((), 4.5, 5.5), (("Retry-After: 60",), 60.0, 60.0)])
async def test_the_next_attempt_comes_when_the_schedule_and_the_receiver_say(
    ended: Any,
    courier: Any,
    listen: Listen,
    success: Outcome,
    redis: Redis,
    headers: tuple[str, ...],
    least: float,
    most: float,
) -> None:
    receiver = await listen(status(503, *headers))
    began = time()
    await ended("one", success, receiver.url)
    async with courier(schedule=SCHEDULE):
        await receiver.got(1)
        await tried(redis, "one")
    due = await redis.zscore("{refstar}:notices", "one")
    assert began + least <= due <= time() + most


async def test_410_ends_it_and_what_else_is_owed_to_that_endpoint(
    ended: Any,
    courier: Any,
    listen: Listen,
    success: Outcome,
    notices: Notices,
    redis: Redis,
    registry: CollectorRegistry,
) -> None:
    receiver = await listen(status(410))
    other = await listen()
    await ended("one", success, receiver.url, owner="a")
    async with courier():
        await nothing_owed(notices, redis)
        await ended("two", success, receiver.url, owner="a")
        await ended("three", success, other.url, owner="a")
        await nothing_owed(notices, redis)
    assert len(receiver.received) == 1
    assert len(other.received) == 1
    assert outcomes(registry) == {"gone": 2, "delivered": 1}
    assert await notices.is_off("a", receiver.url)
    assert not await notices.is_off("b", receiver.url)


async def test_an_address_inside_is_not_called(
    ended: Any, courier: Any, listen: Listen, success: Outcome, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    await ended("one", success, "https://169.254.169.254/latest/meta-data/iam")
    async with courier(schedule=SCHEDULE):
        await tried(redis, "one")
    assert "not a public address" in caplog.text
    assert "meta-data" not in caplog.text


async def test_notices_of_a_revoked_key_are_dropped(
    ended: Any,
    courier: Any,
    listen: Listen,
    success: Outcome,
    notices: Notices,
    redis: Redis,
    registry: CollectorRegistry,
) -> None:
    receiver = await listen()
    await ended("one", success, receiver.url)
    async with courier(secrets=None):
        await nothing_owed(notices, redis)
    assert receiver.connections == 0
    assert outcomes(registry) == {"abandoned": 1}


async def test_a_notice_outlives_its_job(
    ended: Any, courier: Any, listen: Listen, success: Outcome, queue: JobQueue
) -> None:
    receiver = await listen()
    await ended("one", success, receiver.url)
    await queue.delete("one")
    async with courier():
        (got,) = await receiver.got(1)
    assert got.event["type"] == "restoration.succeeded"
    assert got.event["data"] == {
        "id": "one",
        "status": "succeeded",
        "links": {"self": "/v1/restorations/one"},
    }


async def test_one_owner_s_slow_servers_leave_room_for_others(
    ended: Any, courier: Any, listen: Listen, success: Outcome
) -> None:
    slow, quick = await listen(""), await listen()
    for number in range(AT_ONCE_OF_ONE_OWNER + 4):
        await ended(f"slow-{number}", success, slow.url, owner="slow")
    await ended("quick", success, quick.url, owner="quick")
    async with courier():
        await quick.got(1)
        await slow.got(AT_ONCE_OF_ONE_OWNER)
        await asyncio.sleep(0.1)
        assert slow.most_open == AT_ONCE_OF_ONE_OWNER


async def test_more_than_one_look_at_what_is_due_does_not_hide_others(
    ended: Any, courier: Any, listen: Listen, success: Outcome
) -> None:
    slow, quick = await listen(""), await listen()
    for number in range(LOOKED_AT + AT_ONCE_OF_ONE_OWNER + 4):
        await ended(f"slow-{number}", success, slow.url, owner="slow")
    await ended("quick", success, quick.url, owner="quick")
    async with courier():
        await quick.got(1, within=1)


async def test_what_waits_for_one_owner_s_slow_servers_is_not_looked_at_again(
    ended: Any, courier: Any, listen: Listen, success: Outcome, redis: Redis
) -> None:
    slow = await listen("")
    for number in range(AT_ONCE_OF_ONE_OWNER + 20):
        await ended(f"slow-{number}", success, slow.url, owner="slow")
    async with courier():
        await slow.got(AT_ONCE_OF_ONE_OWNER)
        await asyncio.sleep(0.2)
        await redis.config_resetstat()
        await asyncio.sleep(0.5)
        asked = await redis.info("commandstats")
    assert "cmdstat_zrangebyscore" in asked  # what is due is looked for all the time
    assert not asked.keys() & {"cmdstat_zadd", "cmdstat_hmget", "cmdstat_hset"}


async def test_what_waits_for_a_place_gets_it_as_soon_as_one_is_free(
    ended: Any, courier: Any, listen: Listen, success: Outcome, notices: Notices, redis: Redis
) -> None:
    receiver = await listen()
    for number in range(5 * AT_ONCE_OF_ONE_OWNER):
        await ended(f"job-{number}", success, receiver.url, owner="a")
    async with courier():
        await nothing_owed(notices, redis)
    assert receiver.most_open <= AT_ONCE_OF_ONE_OWNER
    assert len(receiver.received) == 5 * AT_ONCE_OF_ONE_OWNER


async def test_what_is_owed_is_counted_by_owner(
    ended: Any, courier: Any, listen: Listen, success: Outcome, notices: Notices, redis: Redis
) -> None:
    receiver = await listen()
    for number in range(3):
        await ended(f"a-{number}", success, receiver.url, owner="a")
    await ended("b", success, receiver.url, owner="b")
    assert (await notices.count_owed("a"), await notices.count_owed("b"), await notices.count_owed("c")) == (
        3,
        1,
        0,
    )
    async with courier():
        await nothing_owed(notices, redis)
    assert (await notices.count_owed("a"), await notices.count_owed("b")) == (0, 0)


async def test_a_notice_is_due_the_moment_its_job_ends(
    ended: Any, success: Outcome, notices: Notices
) -> None:
    for number in range(30):  # a moment rounded to milliseconds lies ahead of half of them
        await ended(f"job-{number}", success, "http://127.0.0.1:9/")
        taken = await notices.take(1, places=1, left={})
        assert [notice.job_id for notice in taken.notices] == [f"job-{number}"]


async def test_a_job_that_nobody_ended_in_its_time_is_told_of_and_says_why(
    courier: Any, listen: Listen, queue: JobQueue, request_for_jobs: RestoreRequest
) -> None:
    receiver = await listen()
    queue.job_ttl = 0.1
    await queue.submit("late", request_for_jobs, webhook=receiver.url)
    await asyncio.sleep(0.15)
    assert await queue.start(await queue.reserve(1)) == [None]
    async with courier():
        (got,) = await receiver.got(1)
    assert got.event["type"] == "restoration.expired"
    assert got.event["data"]["status"] == "expired"
    assert got.event["data"]["error"]["type"] == "/problems/restoration-expired"
    assert "REFSTAR_JOB_TTL" in got.event["data"]["error"]["detail"]
