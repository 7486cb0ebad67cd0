"""How long each stage of a job takes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Stopwatch:
    """``seconds`` by stage; a stage that is entered several times adds up. For one thread."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.monotonic() - began
