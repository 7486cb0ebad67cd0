"""Threads that the loop hands work to. What is logged and traced there belongs to the job that asked."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

T = TypeVar("T")


class Threads:
    def __init__(self, count: int, name: str) -> None:
        self._pool = ThreadPoolExecutor(count, name)

    async def run(self, function: Callable[..., T], *arguments: object) -> T:
        """In one of them, with the context of whoever calls this."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, copy_context().run, function, *arguments)

    def end(self) -> None:
        """Takes no more; what is under way is not waited for."""
        self._pool.shutdown(wait=False)
