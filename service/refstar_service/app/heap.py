"""The search for garbage where it only costs time: what a process imports as it starts stays until the process ends."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def growing() -> Iterator[None]:
    """Nothing is searched within it, and what is there at its end is not searched ever after. Not for what leaves much
    behind: pictures in cycles would stay."""
    gc.disable()
    try:
        yield
    finally:
        settle()
        gc.enable()


def settle() -> None:
    """What is there now is not searched any more. Before a process ends, it need not be: all of it goes anyway."""
    gc.freeze()
