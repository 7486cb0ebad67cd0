"""How far a run is, as a line for people."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from typing import TextIO


@dataclass
class Progress:
    """``already``: items that an earlier run did. Times are of `time.monotonic`."""

    total: int
    already: int = 0
    done: int = 0
    failed: int = 0
    under_way: int = 0
    began: float = field(default_factory=time.monotonic)

    def line(self, now: float | None = None) -> str:
        ended = self.already + self.done + self.failed
        took = (time.monotonic() if now is None else now) - self.began
        rate = (self.done + self.failed) / took if took > 0 else 0.0
        parts = [f"{ended} of {self.total}", f"{self.failed} failed", f"{self.under_way} under way"]
        if rate:
            parts += [f"{rate:.2g} a second" if rate < 10 else f"{rate:.0f} a second"]
            parts += [f"{_span((self.total - ended) / rate)} left"] if ended < self.total else []
        return ", ".join(parts)


class Display:
    """On a terminal one line that changes every second; elsewhere a line every ten."""

    def __init__(self, progress: Progress, to: TextIO | None = None) -> None:
        self._progress = progress
        self._to = sys.stderr if to is None else to
        self._terminal = self._to.isatty()
        self.every = 1.0 if self._terminal else 10.0

    def show(self) -> None:
        text = self._progress.line()
        self._to.write(f"\r\x1b[2K{text}" if self._terminal else text + "\n")
        self._to.flush()

    def say(self, text: str) -> None:
        """A line that stays."""
        self._to.write(f"\r\x1b[2K{text}\n" if self._terminal else text + "\n")
        self._to.flush()


def _span(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
