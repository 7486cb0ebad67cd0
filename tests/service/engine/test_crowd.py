"""Which sessions inferences take that run side by side."""

import threading
from contextlib import ExitStack
from typing import Any

import pytest
from refstar_service.engine.bindings import Turns
from refstar_service.engine.crowd import Crowd, Graphs

ALONE: Any = Graphs(object(), None)  # type: ignore[arg-type]
SHARE: Any = Graphs(object(), None)  # type: ignore[arg-type]


def taken(at_once: int, count: int) -> list[Graphs]:
    """What ``count`` inferences get that come one after another and all go on."""
    crowd = Crowd(ALONE, lambda: SHARE, at_once)
    with ExitStack() as stack:
        return [stack.enter_context(crowd.graphs()) for _ in range(count)]


def test_a_lone_inference_has_all_threads_and_several_share_them() -> None:
    assert taken(2, 2) == [ALONE, SHARE]


def test_few_of_many_have_all_threads() -> None:
    assert taken(8, 8) == [ALONE] * 4 + [SHARE] * 4


def test_where_one_runs_at_a_time_nothing_is_shared() -> None:
    assert taken(1, 3) == [ALONE] * 3


def test_what_they_share_is_loaded_once_and_when_it_is_needed() -> None:
    loaded: list[int] = []

    def share() -> Graphs:
        loaded.append(1)
        return SHARE

    crowd = Crowd(ALONE, share, 2)
    for _ in range(3):
        with crowd.graphs() as graphs:
            assert graphs is ALONE
    assert not loaded
    with crowd.graphs(), crowd.graphs(), crowd.graphs():
        assert len(loaded) == 1
    with crowd.graphs() as graphs:
        assert graphs is ALONE  # the others have ended


def test_nobody_waits_for_what_another_one_loads() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def share() -> Graphs:
        begun.set()
        assert go_on.wait(10)
        return SHARE

    def another() -> None:
        with crowd.graphs():
            pass

    crowd = Crowd(ALONE, share, 2)
    with crowd.graphs():
        loading = threading.Thread(target=another)
        loading.start()
        assert begun.wait(10)
        with crowd.graphs() as graphs:
            assert graphs is ALONE
        go_on.set()
        loading.join()
        with crowd.graphs() as graphs:
            assert graphs is SHARE


def test_what_could_not_be_loaded_is_tried_again() -> None:
    answers: list[Any] = [MemoryError(), SHARE]

    def share() -> Graphs:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return SHARE

    crowd = Crowd(ALONE, share, 2)
    with crowd.graphs():
        with pytest.raises(MemoryError), crowd.graphs():
            pass
        with crowd.graphs() as graphs:
            assert graphs is SHARE


def test_as_many_inferences_are_under_way_as_the_device_takes() -> None:
    turns = Turns(2)
    assert turns.computing.acquire(blocking=False)
    assert turns.computing.acquire(blocking=False)
    assert not turns.computing.acquire(blocking=False)
