"""Garbage collection, left out where it only costs time: what a process imports stays until it ends."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def growing() -> Iterator[None]:
    """No collections within it, and what exists at its end is left out of all later ones.

    Only for code that makes things to keep: what it drops in reference cycles is never freed.
    """
    gc.disable()
    try:
        yield
    finally:
        leave_out()
        gc.enable()


def leave_out() -> None:
    """Leave what exists now out of all later collections, also of the one at the end of the process."""
    gc.freeze()
