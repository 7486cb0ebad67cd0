"""How far some work is and how long it will still take, as a line every few seconds."""

import sys
import time
from collections.abc import Collection, Iterator
from typing import TypeVar

T = TypeVar("T")

EVERY = 5.0  # seconds between two lines
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def follow(items: Collection[T], title: str) -> Iterator[T]:
    """The items one by one; where all together take long, lines on the standard error say how many are done."""
    began = spoke = time.monotonic()
    for number, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - spoke >= EVERY and number < len(items):
            spoke, left = now, (now - began) / number * (len(items) - number)
            line = f"{title}: {number:,} of {len(items):,}, {describe_seconds(left)} left"
            print(line, file=sys.stderr, flush=True)


def describe_seconds(seconds: float) -> str:
    """The two largest units: 40 s, 12 min, 3 h 5 min, 2 d 4 h."""
    if seconds < _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < _HOUR:
        return f"{seconds / _MINUTE:.0f} min"
    if seconds < _DAY:
        minutes = round(seconds / _MINUTE)
        return f"{minutes // 60} h {minutes % 60} min"
    hours = round(seconds / _HOUR)
    return f"{hours // 24} d {hours % 24} h"
