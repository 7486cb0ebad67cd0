"""Notices of owners who have no place: who waits, for how long, and that nobody gets one twice."""

from time import time
from typing import Any

import pytest
from redis.asyncio import Redis
from refstar_service.jobs import Outcome
from refstar_service.webhooks import places
from refstar_service.webhooks.notices import Deferred, Notices
from refstar_service.webhooks.places import Places

URL = "http://127.0.0.1:9/"


def deferred(owner: str, *names: str, due: str = "1") -> list[Deferred]:
    return [Deferred(name, owner, due) for name in names]


async def test_no_more_of_an_owner_are_taken_than_it_has_places(
    ended: Any, success: Outcome, notices: Notices, redis: Redis
) -> None:
    for number, owner in enumerate("aaaaabb"):
        await ended(f"job-{number}", success, URL, owner=owner)
    taken = await notices.take(10, places=2, left={"b": 1})
    assert [notice.job_id for notice in taken.notices] == ["job-0", "job-1", "job-5"]
    assert [(one.job_id, one.owner) for one in taken.deferred] == [
        ("job-2", "a"),
        ("job-3", "a"),
        ("job-4", "a"),
        ("job-6", "b"),
    ]
    for one in taken.deferred:
        assert time() + 15 < await redis.zscore("{refstar}:notices", one.job_id) < time() + 20
        assert await redis.hget(f"{{refstar}}:notice:{one.job_id}", "lease") is None
    assert not taken.more


async def test_what_was_deferred_is_given_to_who_asks_for_it_once(
    ended: Any, success: Outcome, notices: Notices
) -> None:
    for number in range(3):
        await ended(f"job-{number}", success, URL, owner="a")
    waiting = (await notices.take(10, places=1, left={})).deferred
    asked = await notices.take(10, places=1, left={}, waiting=waiting[:1])
    assert [notice.job_id for notice in asked.notices] == ["job-1"]
    again = await notices.take(
        10, places=8, left={}, waiting=waiting
    )  # another courier, to whom it was deferred too
    assert [notice.job_id for notice in again.notices] == ["job-2"]
    await notices.put_back(again.notices[0], 300.0, tried=True)
    later = await notices.take(10, places=8, left={}, waiting=waiting)
    assert later.notices == later.deferred == []


async def test_what_nobody_asks_for_is_due_again(ended: Any, success: Outcome, redis: Redis) -> None:
    notices = Notices(redis, defer=0.0)
    for number in range(2):
        await ended(f"job-{number}", success, URL, owner="a")
    await notices.take(10, places=1, left={})
    assert [one.job_id for one in (await notices.take(10, places=1, left={})).notices] == ["job-1"]


def test_turns_go_by_owner_to_those_who_wait_longest() -> None:
    waiting = Places(2)
    for owner in "aab":
        waiting.take(owner)
    waiting.remember(
        [*deferred("a", "a1", "a2"), *deferred("b", "b1", "b2"), *deferred("c", "c1", "c2", "c3")]
    )
    waiting.remember(deferred("b", "b1", due="2"))
    assert waiting.left == {"a": 0, "b": 1}
    assert waiting.wanted
    assert waiting.next(10) == [*deferred("b", "b1", due="2"), *deferred("c", "c1", "c2")]
    for owner in "bcc":
        waiting.take(owner)
    assert not waiting.wanted
    waiting.free("a")
    assert waiting.wanted
    assert waiting.next(10) == deferred("a", "a1")


def test_only_so_many_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "MOST_REMEMBERED", 2)
    waiting = Places(8)
    waiting.remember(deferred("a", "a1", "a2", "a3"))
    waiting.remember(deferred("a", "a1", due="2"))
    assert waiting.next(10) == [*deferred("a", "a1", due="2"), *deferred("a", "a2")]
    waiting.remember(deferred("a", "a3"))
    assert waiting.next(10) == deferred("a", "a3")
