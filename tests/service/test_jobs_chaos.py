"""The claim: whatever happens to workers and to Redis, every job ends, and no job has two outcomes."""

from pathlib import Path

from chaos import Plan, run


async def test_every_job_ends_once_and_only_poisonous_ones_are_given_up(tmp_path: Path) -> None:
    """bench/chaos.py is the same with 100,000 jobs."""
    plan = Plan(jobs=1000, workers=4, poison=3, cancels=75, within=300)
    account = await run(plan, tmp_path)
    assert account.faults == []
    assert account.poison_deaths == 9
    assert account.statuses["succeeded"] > 900
    assert account.blows["SIGKILL"] >= 10
    assert account.blows["SIGTERM"] >= 5
    assert account.blows["redis SIGKILL"] == 1
    assert account.attempts[2] > 0
