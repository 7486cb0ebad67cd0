"""The time that a slice of training was given, and how much of it must be left for what comes at the end."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

_MARGIN = 1.5  # times what the closing work took last; the disk may be slower then


class Clock:
    """Started when it is made. ``minutes`` may be infinite."""

    def __init__(self, minutes: float = float("inf")) -> None:
        self._started, self._seconds = time.monotonic(), 60 * minutes
        self._closing: dict[str, float] = {}
        self._slowest = 0.0

    def part(self, share: float) -> "Clock":
        """Another one, started now, with a share of the time that is left."""
        return Clock(share * self.left / 60)

    @property
    def spent(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started

    @property
    def left(self) -> float:
        """Seconds to train that are left; infinite where the time is."""
        return max(0.0, self._seconds - self._reserve - self.spent)

    @property
    def share(self) -> float:
        """How much of the time to train is over, 0..1; 0 where the time is infinite."""
        return min(1.0, self.spent / max(1e-9, self._seconds - self._reserve))

    @property
    def over(self) -> bool:
        """Whether only the time for the closing work is left, or less than the slowest step so far took."""
        return self.left <= self._slowest

    def fits(self, work: str) -> bool:
        """Whether some work that was timed before can be done now and still be done at the end."""
        return self._closing.get(work, 0.0) * _MARGIN <= self.left

    @contextmanager
    def step(self) -> Iterator[None]:
        """Time one step: none is begun that may not end in time."""
        began = time.monotonic()
        yield
        self._slowest = max(self._slowest, time.monotonic() - began)

    @contextmanager
    def closing(self, work: str) -> Iterator[None]:
        """Time some work that is done once more at the end: saving, judging, a sheet."""
        began = time.monotonic()
        yield
        self._closing[work] = time.monotonic() - began

    @property
    def _reserve(self) -> float:
        return _MARGIN * sum(self._closing.values())


class Ticker:
    """Says when it is time again: every so many seconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._last = seconds, time.monotonic()

    def due(self) -> bool:
        """True, and counting anew, once the seconds have passed."""
        now = time.monotonic()
        if now - self._last < self._seconds:
            return False
        self._last = now
        return True
