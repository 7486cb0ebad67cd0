"""Moments as users read them."""

from datetime import UTC, datetime


def write_moment(moment: datetime) -> str:
    """ISO 8601 in UTC, always to the microsecond: so moments can be compared as they are written, too."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def write_seconds(seconds: float) -> str:
    """Of seconds since 1970."""
    return write_moment(datetime.fromtimestamp(seconds, UTC))
