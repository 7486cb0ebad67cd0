"""What to say to whoever finds no room: which limit it was, how much of it is theirs, and when to come again."""

from datetime import timedelta

from refstar_service.gateway.http.problem_types import ProblemType
from refstar_service.gateway.http.problems import ProblemError
from refstar_service.jobs import JobTooLargeError, Limit, QueueFullError

_SETTINGS = {
    Limit.BYTES: "REFSTAR_STORAGE_BYTES",
    Limit.QUOTA: "REFSTAR_STORAGE_BYTES_PER_KEY",
    Limit.SHARE: "REFSTAR_STORAGE_BYTES",
    Limit.MEMORY: "REFSTAR_REDIS_MEMORY_SHARE",
}


def report_shortage(error: QueueFullError) -> ProblemError:
    """As a problem: `queue-full` for too many jobs, else `storage-full`."""
    headers = {"Retry-After": str(error.seconds)}
    if error.what is Limit.JOBS:
        detail = f"The queue is full: {error.depth} of {error.limit} restorations."
        return ProblemError(ProblemType.QUEUE_FULL, detail, headers=headers)
    there, most, own = map(_show_bytes, (error.depth, error.limit, error.own))
    match error.what:
        case Limit.QUOTA:
            found = f"Your pictures take {there} of the {most} that one API key may store."
        case Limit.SHARE:
            found = (
                f"{there} of {most} are in use, {own} of them by you: as much as one API key may hold now."
            )
        case Limit.MEMORY:
            found = f"{there} of {most} of memory are in use or reserved, {own} of them by you."
        case _:
            found = f"{there} of {most} are in use or reserved, {own} of them by you."
    when = f"There is room again in {timedelta(seconds=error.seconds)} (hours:minutes:seconds) at the latest"
    return ProblemError(
        ProblemType.STORAGE_FULL,
        f"{found} {when}, or at once if you delete restorations or people that you no longer need.",
        headers=headers,
        reached=error.what.value,
        setting=_SETTINGS[error.what],
        used=error.depth,
        limit=error.limit,
        used_by_you=error.own,
    )


def report_misfit(error: JobTooLargeError) -> ProblemError:
    """As a problem: `request-too-large`, since no waiting helps."""
    whose = "one request" if error.what is Limit.BYTES else "one request of an API key"
    return ProblemError(
        ProblemType.REQUEST_TOO_LARGE,
        f"The pictures and their result may take {_show_bytes(error.asked)} of storage, and {whose} may take "
        f"{_show_bytes(error.limit)}. Send smaller pictures or a smaller `upscale`, or a format that compresses.",
        reached=error.what.value,
        setting=_SETTINGS[error.what],
        limit=error.limit,
    )


def _show_bytes(count: int) -> str:
    for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"
