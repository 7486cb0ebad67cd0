"""What is handed to threads comes back to the loop: results, errors, contexts, and nothing of what was canceled."""

import asyncio
import threading
import time
from contextvars import ContextVar

import pytest
from refstar_service.threads import Threads

SOON = 10.0  # seconds
_about: ContextVar[str] = ContextVar("about", default="")


async def test_results_go_to_those_who_asked_for_them() -> None:
    threads = Threads(4, "test")

    def square(number: int) -> int:
        time.sleep(0.001 * (number % 3))
        return number * number

    assert await asyncio.gather(*(threads.run(square, n) for n in range(200))) == [n * n for n in range(200)]


async def test_an_error_is_raised_where_it_was_asked_for_and_nowhere_else() -> None:
    threads = Threads(2, "test")
    fails, works = threads.run(int, "x"), threads.run(int, "7")
    with pytest.raises(ValueError, match="invalid literal"):
        await fails
    assert await works == 7


async def test_an_end_of_an_iteration_is_an_error_too() -> None:
    with pytest.raises(RuntimeError, match="StopIteration"):
        await Threads(1, "test").run(next, iter(()))


async def test_a_thread_sees_the_context_of_whoever_asked() -> None:
    threads = Threads(1, "test")
    for name in ("a", "b"):
        _about.set(name)
        assert await threads.run(_about.get) == name


async def test_what_is_canceled_before_its_turn_never_runs() -> None:
    threads, go_on, ran = Threads(1, "test"), threading.Event(), []
    first = asyncio.create_task(threads.run(go_on.wait, SOON))
    second = asyncio.create_task(threads.run(ran.append, 1))
    await asyncio.sleep(0)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    go_on.set()
    assert await first
    await threads.run(int)  # behind the canceled one
    assert ran == []


async def test_what_is_canceled_later_ends_unheard() -> None:
    threads, begun, go_on = Threads(1, "test"), threading.Event(), threading.Event()

    def act() -> None:
        begun.set()
        go_on.wait(SOON)
        raise ValueError

    task = asyncio.create_task(threads.run(act))
    assert await asyncio.to_thread(begun.wait, SOON)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go_on.set()
    assert await threads.run(int, "3") == 3


async def test_nothing_is_taken_after_the_end() -> None:
    threads = Threads(1, "test")
    threads.end()
    with pytest.raises(RuntimeError):
        await threads.run(int)


def test_a_loop_that_is_closed_while_a_thread_works_is_no_trouble() -> None:
    threads, go_on = Threads(1, "test"), threading.Event()

    async def leave() -> None:
        task = asyncio.create_task(threads.run(go_on.wait, SOON))
        await asyncio.sleep(0)
        task.cancel()

    asyncio.run(leave())
    go_on.set()

    async def come_again() -> int:
        return await threads.run(int, "5")

    assert asyncio.run(come_again()) == 5
