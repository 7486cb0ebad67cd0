"""Which of several processes this one is: from the environment that torchrun and the like start them with."""

import os


def count_started() -> int:
    """How many processes this one was started as one of."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def read_rank() -> int:
    """Which of them this one is, from 0."""
    return int(os.environ.get("RANK", "0")) if count_started() > 1 else 0
