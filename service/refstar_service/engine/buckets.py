"""How many faces an inference takes: powers of two, so that shapes stay few and memory and tuning are bounded."""

import logging
import threading

log = logging.getLogger(__name__)


def bucket(count: int) -> int:
    """The next power of two."""
    return 1 << (count - 1).bit_length()


def buckets_to(most: int) -> list[int]:
    """All of them up to ``most``."""
    return [1 << i for i in range(most.bit_length())]


class Ceiling:
    """The largest bucket in use. It comes down when a batch does not fit into memory, and stays there. Thread-safe."""

    def __init__(self, most: int) -> None:
        """``most`` faces; if that is no power of two, the next one below."""
        self._value = 1 << (most.bit_length() - 1)
        self._lock = threading.Lock()

    @property
    def value(self) -> int:
        return self._value

    def lower(self, rows: int) -> bool:
        """A batch of ``rows`` did not fit. False if there is nothing smaller to try: one face alone is too much."""
        if rows <= 1:
            return False
        with self._lock:
            if rows // 2 < self._value:
                self._value = rows // 2
                log.warning(
                    "out of memory with %d faces in a batch: at most %d from now on", rows, self._value
                )
        return True
