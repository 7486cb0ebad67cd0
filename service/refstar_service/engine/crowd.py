"""Inferences side by side on one CPU.

Threads that share an inference wait for each other after every operator; inferences with a thread each do not. So one
that is alone takes all threads and is done soonest, and where there are several, each takes its share and more are done
in the same time. What comes out is the same, bit for bit: no sum is split among threads.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from refstar_service.engine.bindings import Bindings
from refstar_service.engine.staged import RestoringGraph


@dataclass(frozen=True)
class Graphs:
    """Of a model, loaded with so many threads. ``encoding``: none if the model takes no references."""

    restoring: RestoringGraph
    encoding: Bindings | None


class Crowd:
    """Says which sessions an inference takes. Thread-safe."""

    def __init__(self, alone: Graphs, share: Callable[[], Graphs], at_once: int = 1) -> None:
        """``at_once``: most inferences side by side; ``share`` loads what they take, once, when there are several:
        a worker that starts is ready without it."""
        self.alone, self._share, self._at_once = alone, share, at_once
        self._shared: Graphs | None = None
        self._under_way = 0
        self._lock = threading.Lock()
        self._loading = threading.Lock()

    @contextmanager
    def graphs(self) -> Iterator[Graphs]:
        """For one inference, until the end of the context. Raises what ``share`` raises."""
        with self._lock:
            self._under_way += 1
            crowded = self._under_way > max(1, self._at_once // 2)
        try:
            yield self._for_several() if crowded and self._at_once > 1 else self.alone
        finally:
            with self._lock:
                self._under_way -= 1

    def _for_several(self) -> Graphs:
        if self._shared is None and self._loading.acquire(blocking=False):
            try:
                self._shared = self._shared or self._share()
            finally:
                self._loading.release()
        return self._shared or self.alone  # somebody else is loading it: this one does not wait
