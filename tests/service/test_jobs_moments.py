"""Moments as they are written for users."""

from refstar_service.jobs.moments import write_seconds


def test_a_whole_second_is_written_like_any_other_and_sorts_before_what_follows_it() -> None:
    whole, later = write_seconds(1_790_000_000), write_seconds(1_790_000_000.001)
    assert whole == "2026-09-21T14:13:20.000000Z"
    assert whole < later
