"""A Redis that cannot write its file answers what is asked of it and refuses every change, until its disk has room."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from redis.exceptions import ResponseError

T = TypeVar("T")

PAUSES = (0.2, 0.5, 0.8, 1.0)  # seconds; it looks at its disk again once a second


def is_disk_full(error: BaseException) -> bool:
    """Whether Redis refused because of its disk, in whatever words by version and command."""
    return "MISCONF" in str(error)


async def outlast_full_disk(act: Callable[[], Awaitable[T]]) -> T:
    """`act`, and again while the disk is full: for what comes after files on that disk were deleted."""
    for pause in PAUSES:
        try:
            return await act()
        except ResponseError as error:
            if not is_disk_full(error):
                raise
        await asyncio.sleep(pause)
    return await act()
