"""Threads that the loop hands work to. What is logged and traced there belongs to whoever asked.

`loop.run_in_executor` chains two futures and wakes the loop for every result, which costs a tenth of a millisecond of
the interpreter's lock; a restoration crosses five times. Here what ends close together wakes the loop once.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import Context, copy_context
from typing import Any, TypeVar

T = TypeVar("T")


class Threads:
    """At most ``count`` of them, named after ``name``. To be used from one loop at a time."""

    def __init__(self, count: int, name: str) -> None:
        self._pool = ThreadPoolExecutor(count, name)
        self._returns: _Returns | None = None

    async def run(self, function: Callable[..., T], *arguments: object) -> T:
        """In one of them, with the context of whoever calls this. Canceled before its turn, it never runs; later, it
        runs to its end and nobody hears of it. Raises what it raises, and RuntimeError after `end`."""
        loop = asyncio.get_running_loop()
        if self._returns is None or self._returns.loop is not loop:
            self._returns = _Returns(loop)
        future: asyncio.Future[T] = loop.create_future()
        self._pool.submit(_run, self._returns, future, copy_context(), function, arguments)
        return await future

    def end(self) -> None:
        """Takes no more; what is under way is not waited for."""
        self._pool.shutdown(wait=False)


class _Returns:
    """The way back from the threads to one loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._waiting: deque[tuple[asyncio.Future[Any], Any, BaseException | None]] = deque()
        self._woken = False

    def put(self, future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
        """Called in any thread."""
        # In this order, and in the reverse one below: nothing is left lying without the loop being woken for it.
        self._waiting.append((future, result, error))
        if not self._woken:
            self._woken = True
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self.loop.call_soon_threadsafe(self._hand_out)

    def _hand_out(self) -> None:
        self._woken = False
        while self._waiting:
            future, result, error = self._waiting.popleft()
            if future.done():
                continue  # canceled meanwhile
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)


def _run(
    returns: _Returns,
    future: asyncio.Future[T],
    context: Context,
    function: Callable[..., T],
    arguments: tuple[object, ...],
) -> None:
    if future.cancelled():
        return
    try:
        result = context.run(function, *arguments)
    except StopIteration as error:
        # A future does not take it: it would end the coroutine that waits.
        returns.put(future, None, RuntimeError(f"the function raised {error!r}"))
    except BaseException as error:
        returns.put(future, None, error)
    else:
        returns.put(future, result, None)
