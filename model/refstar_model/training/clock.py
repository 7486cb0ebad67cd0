"""The time that a slice of training was given, and how much of it must be left for what comes at the end."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

_MARGIN = 1.5  # times what the closing work took last; the disk may be slower then


class Clock:
    """Started when it is made. ``minutes`` may be infinite."""

    def __init__(self, minutes: float) -> None:
        self._started, self._seconds = time.monotonic(), 60 * minutes
        self._closing: dict[str, float] = {}

    @property
    def spent(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started

    @property
    def share(self) -> float:
        """How much of the time to train is over, 0..1; 0 where the time is infinite."""
        return min(1.0, self.spent / max(1e-9, self._seconds - self._reserve))

    @property
    def over(self) -> bool:
        """Whether only the time for the closing work is left."""
        return self.spent >= self._seconds - self._reserve

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
