"""Lists of jobs: pages, and the places between them."""

from __future__ import annotations

from dataclasses import dataclass

from refstar_service.jobs.job import Job


@dataclass(frozen=True)
class Place:
    """After this entry of a list that begins with the newest. `moment`: microseconds since 1970, as Redis writes it."""

    moment: str
    id: str


@dataclass(frozen=True)
class JobPage:
    """`rest`: where to go on, None if there is no more. A page that is filtered may be short of jobs before that."""

    jobs: tuple[Job, ...]
    rest: Place | None
