"""Seconds from `refstar serve` to a ready service (Redis answers, a worker with a warm model is there), and its end.

.venv/bin/python bench/start.py
"""

import time

import numpy as np
from report import Report, Table, command, parser, publish, this_machine
from stack import service


def once() -> tuple[float, float]:
    """Seconds to ready and seconds to the end."""
    began = time.perf_counter()
    with service({}):
        ready = time.perf_counter()
    return ready - began, time.perf_counter() - ready


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--times", type=int, default=7)
    options = made.parse_args()
    machine = this_machine()
    runs = np.array([once() for _ in range(options.times)])
    rows = tuple(
        (what, float(np.median(seconds)), float(seconds.min()), float(seconds.max()))
        for what, seconds in zip(("ready after, s", "ended after, s"), runs.T, strict=True)
    )
    table = Table("start", ("refstar serve", "median", "least", "most"), rows)
    publish(Report(command("start", options, made), (table,)), machine, options)


if __name__ == "__main__":
    main()
