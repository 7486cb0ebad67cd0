"""Whose faces come to the model next, and how much is decoded at a time."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from refstar_service.jobs import Priority, RestoreRequest
from refstar_service.jobs.reservation import Attempt, Reservation
from refstar_service.worker.work import Work, next_round, portions


@pytest.fixture
def work(request_for_jobs: RestoreRequest) -> Any:
    def make(name: str, faces: int = 1, model: str = "refstar", pixels: int = 0) -> Work:
        request = replace(request_for_jobs, model=model)
        held = Reservation(name, Priority.NORMAL, "0-1", retried=False)
        prepared: Any = SimpleNamespace(tasks=tuple(range(faces)))
        return Work(Attempt(name, 1, "f", request, held), prepared=prepared, pixels=pixels)

    return make


def names(works: list[Work], most: int) -> dict[str, int]:
    return {turn.work.job_id: turn.count for turn in next_round(works, most)}


def test_a_group_takes_what_room_the_others_leave(work: Any) -> None:
    assert names([work("group", 30), work("one"), work("two", 2)], 8) == {"group": 5, "one": 1, "two": 2}


def test_more_jobs_than_room_come_in_order(work: Any) -> None:
    assert names([work(f"{i}", 3) for i in range(5)], 3) == {"0": 1, "1": 1, "2": 1}


def test_a_round_is_for_one_model(work: Any) -> None:
    works = [work("a", 2), work("b", 2, model="ented"), work("c")]
    assert names(works, 8) == {"a": 2, "c": 1}
    assert names(works[1:], 8) == {"b": 2}


def test_a_turn_goes_on_where_the_last_one_ended(work: Any) -> None:
    group = work("group", 5)
    (first,) = next_round([group], 2)
    first.begin()
    (turn,) = next_round([group], 2)
    assert turn.tasks == (2, 3)
    assert (group.faces_left, group.faces_waiting) == (5, 3)
    first.end([object()] * 2)
    assert (group.faces_left, group.faces_waiting) == (3, 3)


def test_the_round_after_the_present_one_can_be_told(work: Any) -> None:
    works = [work("group", 12), work("one"), work("two", 2)]
    present = next_round(works, 8)
    for turn in present:
        turn.begin()
    expected = next_round(works, 8)
    assert {turn.work.job_id: turn.tasks for turn in expected} == {"group": (5, 6, 7, 8, 9, 10, 11)}
    for turn in present:
        turn.end([object()] * turn.count)
    left = [one for one in works if one.faces_left]
    assert [turn.tasks for turn in next_round(left, 8)] == [turn.tasks for turn in expected]
    assert next_round(works[1:], 8) == []


def test_faces_keep_their_order_whichever_is_restored_first(work: Any) -> None:
    group = work("group", 3)
    turns = []
    for _ in range(3):
        turns += next_round([group], 1)
        turns[-1].begin()
    for turn in (turns[2], turns[0], turns[1]):
        assert group.faces_left
        turn.end([f"face {turn.first}"])
    assert (group.faces_left, group.faces_in_order) == (0, ["face 0", "face 1", "face 2"])


def test_portions_keep_order_and_a_large_picture_is_alone(work: Any) -> None:
    works = [work(str(i), pixels=p) for i, p in enumerate([4, 4, 4, 20, 1, 0, 9])]
    assert [[w.pixels for w in portion] for portion in portions(works, 10)] == [[4, 4], [4], [20], [1, 0, 9]]
    assert list(portions([], 10)) == []
